{{/*
All secret files of the pod, as a YAML map: the name below /run/specman to
  data          its content, base64, which goes into the chart's own Secret; or
  secret, key   where it lies in a Secret that exists
The volume, the chart's own Secret and the configuration all follow from this map.
*/}}
{{- define "specman.files" -}}
{{- $files := dict -}}

{{- $pack := include "specman.block" (list . "ociPackRegistry") | fromYaml -}}
{{- $login := .Values.secrets.registry -}}
{{- if $login.existingSecret -}}
  {{- include "specman.existing" (list $files "registry" $login (dict "username" "username" "password" "password")) -}}
{{- else if $pack.endpoint -}}
  {{- with $pack.username -}}
    {{- $_ := set $files "registry-username" (dict "data" (b64enc .)) -}}
  {{- end -}}
  {{- include "specman.encoded" (list $files "ociPackRegistry" $pack (dict "password" "registry-password" "caCert" "registry-ca.crt")) -}}
{{- end -}}

{{- $ecr := include "specman.block" (list . "ociPackEcrRegistry") | fromYaml -}}
{{- $login = .Values.secrets.ecrRegistry -}}
{{- if $login.existingSecret -}}
  {{- include "specman.existing" (list $files "ecr" $login (dict "accessKey" "accessKey" "secretKey" "secretKey")) -}}
{{- else if $ecr.endpoint -}}
  {{- $fields := dict "caCert" "ecr-ca.crt" -}}
  {{- if and $ecr.isPrivate (ne $ecr.credentialType "pod-identity") -}}
    {{- $fields = merge $fields (dict "accessKey" "ecr-accessKey" "secretKey" "ecr-secretKey") -}}
  {{- end -}}
  {{- include "specman.encoded" (list $files "ociPackEcrRegistry" $ecr $fields) -}}
{{- end -}}

{{- $values := .Values.secrets -}}
{{- range $name, $file := dict "cosign" "cosign.pub" "htpasswd" "htpasswd" "clientCA" "client-ca.crt" "opsToken" "ops-token" "webhook" "webhook-secret" -}}
  {{- $one := get $values $name -}}
  {{- if $one.existingSecret -}}
    {{- $_ := set $files $file (dict "secret" $one.existingSecret "key" $one.key) -}}
  {{- else if $one.value -}}
    {{- $_ := set $files $file (dict "data" (b64enc $one.value)) -}}
  {{- end -}}
{{- end -}}

{{- with include "specman.tlsSecret" . -}}
  {{- $_ := set $files "tls.crt" (dict "secret" . "key" "tls.crt") -}}
  {{- $_ := set $files "tls.key" (dict "secret" . "key" "tls.key") -}}
{{- end -}}
{{- toYaml $files -}}
{{- end }}

{{/* One of Palette's blocks; it may also stand where Palette has it, under config. */}}
{{- define "specman.block" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $block := deepCopy (get $root.Values $name) -}}
{{- with get $root.Values.config $name -}}
  {{- include "specman.lay" (dict "under" $block "over" .) -}}
{{- end -}}
{{- toYaml $block -}}
{{- end }}

{{/* Adds what a Secret that exists holds: (list FILES PREFIX LOGIN DEFAULT-KEYS). */}}
{{- define "specman.existing" -}}
{{- $files := index . 0 -}}
{{- $prefix := index . 1 -}}
{{- $login := index . 2 -}}
{{- $keys := dict -}}
{{- range $name, $key := $login.keys -}}
  {{- if $key -}}{{- $_ := set $keys $name $key -}}{{- end -}}
{{- end -}}
{{- range $name, $key := $keys | default (index . 3) -}}
  {{- $_ := set $files (printf "%s-%s" $prefix (eq $name "caCert" | ternary "ca.crt" $name)) (dict "secret" $login.existingSecret "key" $key) -}}
{{- end -}}
{{- end }}

{{/* Adds the base64 fields of a block: (list FILES BLOCK-NAME BLOCK FIELDS). */}}
{{- define "specman.encoded" -}}
{{- $files := index . 0 -}}
{{- $name := index . 1 -}}
{{- $block := index . 2 -}}
{{- range $field, $file := index . 3 -}}
  {{- with get $block $field -}}
    {{- $data := regexReplaceAll "\\s" . "" -}}
    {{- if hasPrefix "-----BEGIN" . -}}
      {{- $data = b64enc . -}}
    {{- else if ne ($data | b64dec | b64enc) $data -}}
      {{- fail (printf "%s.%s is not base64, as Palette has it: encode it with `base64 -w0`" $name $field) -}}
    {{- end -}}
    {{- $_ := set $files $file (dict "data" $data) -}}
  {{- end -}}
{{- end -}}
{{- end }}

{{/* The Secret of the server's certificate; empty: each replica makes its own. */}}
{{- define "specman.tlsSecret" -}}
{{- if .Values.tls.existingSecret -}}
{{ .Values.tls.existingSecret }}
{{- else if .Values.tls.certManager.enabled -}}
{{ include "specman.fullname" . }}-tls
{{- else if .Values.tls.selfSigned.enabled -}}
{{ include "specman.fullname" . }}-self-signed
{{- end -}}
{{- end }}
