{{/* The name that all others follow from: the release's name plays no part. */}}
{{- define "specman.fullname" -}}
{{- .Values.fullnameOverride | default "specman" | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{- define "specman.serviceName" -}}
{{ include "specman.fullname" . }}-service
{{- end }}

{{- define "specman.headlessName" -}}
{{ include "specman.fullname" . }}-headless
{{- end }}

{{- define "specman.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (printf "spectro-%s" (include "specman.fullname" .)) -}}
{{- end }}

{{/* What the pods are selected by; immutable in a StatefulSet. */}}
{{- define "specman.selectorLabels" -}}
app.kubernetes.io/name: specman
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{- define "specman.labels" -}}
{{ include "specman.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "specman.image" -}}
{{- $registry := .Values.global.imageRegistry | default .Values.image.registry -}}
{{- $repository := .Values.image.repository -}}
{{- with $registry }}{{ $repository = printf "%s/%s" (trimSuffix "/" .) $repository }}{{ end -}}
{{- with .Values.image.digest -}}
{{ $repository }}@{{ . }}
{{- else -}}
{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* Host name of the Service, as Palette's guide writes it. */}}
{{- define "specman.host" -}}
{{ include "specman.serviceName" . }}.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end }}

{{- define "specman.endpoint" -}}
https://{{ include "specman.host" . }}:{{ .Values.service.port }}
{{- end }}

{{/* The names that a certificate has to hold, as a YAML list: the Service's, each
replica's, and those of a person or a port-forward. */}}
{{- define "specman.hosts" -}}
{{- $service := include "specman.serviceName" . -}}
{{- $headless := printf "%s.%s.svc" (include "specman.headlessName" .) .Release.Namespace -}}
{{- list
      (include "specman.host" .)
      (printf "%s.%s.svc" $service .Release.Namespace)
      (printf "%s.%s" $service .Release.Namespace)
      $service
      (printf "*.%s.%s" $headless .Values.clusterDomain)
      (printf "*.%s" $headless)
      "localhost" "127.0.0.1"
    | concat .Values.tls.hosts | uniq | toYaml -}}
{{- end }}

{{/* The port of an address as ":8443" or "[::]:8443"; give (list ADDRESS DEFAULT). */}}
{{- define "specman.port" -}}
{{- regexFind "[0-9]+$" (index . 0 | default "" | toString) | default (index . 1) -}}
{{- end }}
