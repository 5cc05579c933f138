{{- define "deploywatch.receiverPod" -}}
{{- $part := dict "root" . "part" "receiver" }}
{{- $name := printf "%s-receiver" (include "deploywatch.name" .) }}
{{- $prefix := include "deploywatch.receiverPrefix" . }}
metadata:
  labels: {{- include "deploywatch.labels" $part | nindent 4 }}
  annotations:
    checksum/config: {{ toYaml .Values.receiver.config | sha256sum }}
spec:
  {{- if .Values.receiver.rollback }}
  serviceAccountName: {{ $name }}
  {{- else }}
  automountServiceAccountToken: false
  {{- end }}
  terminationGracePeriodSeconds: 60
  securityContext: {{- include "deploywatch.podSecurity" . | nindent 4 }}
  {{- include "deploywatch.pullSecrets" . | nindent 2 }}
  {{- include "deploywatch.placement" .Values.receiver | nindent 2 }}
  containers:
    - name: receiver
      image: {{ include "deploywatch.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - receiver
        - --config.file=/etc/deploywatch/receiver.yml
        - --storage.path=/var/lib/deploywatch
        - --web.listen-address=:{{ .Values.receiver.port }}
        - --web.config.file=/etc/deploywatch-web/web.yml
        - --log.format=json
        {{- with .Values.receiver.externalUrl }}
        - --web.external-url={{ . }}
        {{- end }}
      {{- include "deploywatch.receiverEnv" . | nindent 6 }}
      ports:
        - {name: http, containerPort: {{ .Values.receiver.port }}}
      livenessProbe:
        httpGet: {path: {{ $prefix }}/-/healthy, port: http}
      readinessProbe:
        httpGet: {path: {{ $prefix }}/-/ready, port: http}
      # SQLite's schema is migrated before it listens.
      startupProbe:
        httpGet: {path: {{ $prefix }}/-/healthy, port: http}
        failureThreshold: 30
      securityContext: {{- include "deploywatch.containerSecurity" . | nindent 8 }}
      resources: {{- toYaml .Values.receiver.resources | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/deploywatch, readOnly: true}
        - {name: web, mountPath: /etc/deploywatch-web, readOnly: true}
        - {name: state, mountPath: /var/lib/deploywatch}
        - {name: tmp, mountPath: /tmp}
  volumes:
    - name: config
      configMap: {name: {{ $name }}}
    - name: web
      secret: {secretName: {{ .Values.receiver.webConfigSecret }}}
    - name: tmp
      emptyDir: {}
    {{- if .Values.receiver.postgresql.existingSecret }}
    - name: state
      emptyDir: {}
    {{- end }}
{{- end -}}
