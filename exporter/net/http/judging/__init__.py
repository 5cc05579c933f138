"""What an answer must be: status, headers and body judged, values picked and saved."""
