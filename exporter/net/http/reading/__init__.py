"""An HTTP answer, read: its head, its fields, its body decoded."""
