{{- define "deploywatch.name" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "deploywatch.selector" -}}
app.kubernetes.io/name: deploywatch
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "deploywatch.labels" -}}
{{ include "deploywatch.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "deploywatch.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}

{{- define "deploywatch.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 0
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "deploywatch.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "deploywatch.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "deploywatch.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "deploywatch.receiverPrefix" -}}
{{- with .Values.receiver.externalUrl -}}{{ (urlParse .).path | trimSuffix "/" }}{{- end -}}
{{- end -}}

{{- define "deploywatch.receiverEnv" -}}
{{- if .Values.receiver.postgresql.existingSecret }}
env:
  - name: DEPLOYWATCH_DATABASE
    valueFrom:
      secretKeyRef:
        name: {{ .Values.receiver.postgresql.existingSecret }}
        key: {{ .Values.receiver.postgresql.key }}
{{- end }}
{{- with .Values.receiver.envFrom }}
envFrom:
{{- range . }}
  - secretRef: {name: {{ . }}}
{{- end }}
{{- end }}
{{- end -}}
