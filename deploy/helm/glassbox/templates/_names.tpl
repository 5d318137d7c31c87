{{- define "glassbox.name" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "glassbox.selector" -}}
app.kubernetes.io/name: glassbox
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "glassbox.metadata" -}}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "glassbox.selector" . | nindent 2 }}
  app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
  app.kubernetes.io/component: agent
{{- end -}}

{{- define "glassbox.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}
