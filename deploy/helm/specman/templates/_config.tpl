{{/* Lays a map over another one, in place: (dict "under" MAP "over" MAP). Unlike
mergeOverwrite it lets false, 0 and "" win. */}}
{{- define "specman.lay" -}}
{{- $under := .under -}}
{{- range $key, $value := .over -}}
  {{- if and (kindIs "map" $value) (kindIs "map" (get $under $key)) -}}
    {{- include "specman.lay" (dict "under" (get $under $key) "over" $value) -}}
  {{- else -}}
    {{- $_ := set $under $key $value -}}
  {{- end -}}
{{- end -}}
{{- end }}

{{/* Specman's own configuration file: what follows from the other values, and .config
laid over it. */}}
{{- define "specman.config" -}}
{{- $files := include "specman.files" . | fromYaml -}}
{{- $given := omit (deepCopy .Values.config) "ociPackRegistry" "ociPackEcrRegistry" -}}
{{- include "specman.refuseSecrets" $given -}}

{{- $config := dict "http" (dict "tls" (dict "hosts" (include "specman.hosts" . | fromYamlArray))) -}}
{{- range $file, $key := dict "tls.crt" "http.tls.certFile" "tls.key" "http.tls.keyFile" "client-ca.crt" "http.tls.clientCAFile" "htpasswd" "http.auth.htpasswdFile" "ops-token" "ops.tokenFile" "webhook-secret" "webhook.secretFile" -}}
  {{- if hasKey $files $file -}}
    {{- $value := printf "/run/specman/%s" $file -}}
    {{- range splitList "." $key | reverse -}}{{- $value = dict . $value -}}{{- end -}}
    {{- include "specman.lay" (dict "under" $config "over" $value) -}}
  {{- end -}}
{{- end -}}

{{- $sources := list -}}
{{- range $block := list "ociPackRegistry" "ociPackEcrRegistry" -}}
  {{- with include "specman.source" (list $ $block $files) | fromYaml -}}
    {{- $sources = append $sources . -}}
  {{- end -}}
{{- end -}}
{{- if and (hasKey $given "sources") (or $sources .Values.secrets.registry.existingSecret .Values.secrets.ecrRegistry.existingSecret) -}}
  {{- fail "config.sources cannot stand beside ociPackRegistry, ociPackEcrRegistry or the Secrets of their logins: name those registries in config.sources too, and mount their secrets with extraVolumes" -}}
{{- end -}}
{{- if gt (len $sources) 1 -}}
  {{- if eq (index $sources 0).name (index $sources 1).name -}}
    {{- $_ := set (index $sources 0) "name" "pack" -}}
    {{- $_ := set (index $sources 1) "name" "ecr" -}}
  {{- end -}}
  {{- range $sources -}}
    {{- include "specman.lay" (dict "under" . "over" (deepCopy ($given.source | default dict))) -}}
  {{- end -}}
  {{- $_ := set $config "sources" $sources -}}
  {{- $given = omit $given "source" -}}
{{- else if $sources -}}
  {{- $_ := set $config "source" (omit (first $sources) "name") -}}
{{- else if .Values.secrets.registry.existingSecret -}}
  {{- $_ := set $config "source" (include "specman.login" (list $files "registry") | fromYaml) -}}
{{- else if .Values.secrets.ecrRegistry.existingSecret -}}
  {{- $_ := set $config "source" (include "specman.login" (list $files "ecr") | fromYaml) -}}
{{- end -}}

{{- if hasKey $files "cosign.pub" -}}
  {{- if not $config.sources -}}
    {{- if not $config.source -}}{{- $_ := set $config "source" dict -}}{{- end -}}
  {{- end -}}
  {{- range $config.sources | default (list $config.source) -}}
    {{- $_ := set . "verify" (dict "cosign" (dict "keys" (list "/run/specman/cosign.pub"))) -}}
  {{- end -}}
{{- end -}}

{{- include "specman.lay" (dict "under" $config "over" $given) -}}
{{- toYaml $config -}}
{{- end }}

{{/* The source that a block describes, empty without an endpoint: (list ROOT BLOCK-NAME
FILES). */}}
{{- define "specman.source" -}}
{{- $files := index . 2 -}}
{{- $isECR := eq (index . 1) "ociPackEcrRegistry" -}}
{{- with include "specman.block" . | fromYaml -}}
{{- if .endpoint -}}
  {{- $source := include "specman.login" (list $files (ternary "ecr" "registry" $isECR)) | fromYaml -}}
  {{- $path := list (regexReplaceAll "^[a-z]+://" .endpoint "" | trimAll "/") (trimAll "/" .baseContentPath) "spectro-manifests/manifest" | compact -}}
  {{- $_ := set $source "repository" (join "/" $path) -}}
  {{- $name := regexReplaceAll "[^a-z0-9]+" (lower .name) "-" | trunc 63 | trimAll "-" -}}
  {{- $_ := set $source "name" ($name | default (ternary "ecr" "pack" $isECR)) -}}
  {{- if hasPrefix "http://" .endpoint -}}{{- $_ := set $source "plainHTTP" true -}}{{- end -}}
  {{- if .insecureSkipVerify -}}
    {{- include "specman.lay" (dict "under" $source "over" (dict "tls" (dict "insecureSkipVerify" true))) -}}
  {{- end -}}
  {{- if $isECR -}}
    {{- $auth := dict "provider" (ternary "ecr" "anonymous" .isPrivate) -}}
    {{- if and .isPrivate .sts.arn (has .credentialType (list "" "sts")) -}}
      {{- $role := dict "roleARN" .sts.arn -}}
      {{- with .sts.externalId -}}{{- $_ := set $role "externalID" . -}}{{- end -}}
      {{- $_ := set $auth "ecr" $role -}}
    {{- end -}}
    {{- include "specman.lay" (dict "under" $source "over" (dict "auth" $auth)) -}}
  {{- end -}}
  {{- toYaml $source -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The part of a source that names the files of its login: (list FILES PREFIX). */}}
{{- define "specman.login" -}}
{{- $files := index . 0 -}}
{{- $prefix := index . 1 -}}
{{- $source := dict -}}
{{- range $name, $key := dict "username" "auth.usernameFile" "password" "auth.passwordFile" "token" "auth.tokenFile" "dockerConfig" "auth.dockerConfig" "accessKey" "auth.ecr.accessKeyFile" "secretKey" "auth.ecr.secretKeyFile" "ca.crt" "tls.caFile" -}}
  {{- $file := printf "%s-%s" $prefix $name -}}
  {{- if hasKey $files $file -}}
    {{- $value := printf "/run/specman/%s" $file -}}
    {{- range splitList "." $key | reverse -}}{{- $value = dict . $value -}}{{- end -}}
    {{- include "specman.lay" (dict "under" $source "over" $value) -}}
  {{- end -}}
{{- end -}}
{{- toYaml $source -}}
{{- end }}

{{/* The configuration becomes a ConfigMap, which is no place for secrets. */}}
{{- define "specman.refuseSecrets" -}}
{{- range $source := append (.sources | default list) (.source | default dict) -}}
  {{- $auth := $source.auth | default dict -}}
  {{- $ecr := $auth.ecr | default dict -}}
  {{- if or $auth.password $auth.token $ecr.accessKey $ecr.secretKey -}}
    {{- fail "config would show a secret in a ConfigMap: give password and keys in ociPackRegistry or ociPackEcrRegistry, or name their Secret in secrets.registry.existingSecret" -}}
  {{- end -}}
{{- end -}}
{{- end }}

{{/* What of the configuration is read at the start only. The pods restart when this
changes, and only then. */}}
{{- define "specman.restartConfig" -}}
{{- $config := include "specman.config" . | fromYaml -}}
{{- $log := $config.log | default dict -}}
{{- $store := $config.store | default dict -}}
{{- dict "http" $config.http "ops" $config.ops "control" $config.control "store" (pick $store "dir") "log" (pick $log "format" "access") | toJson -}}
{{- end }}

{{/* All sources of the configuration, whichever way they came in. */}}
{{- define "specman.sources" -}}
{{- $config := include "specman.config" . | fromYaml -}}
{{- $config.sources | default (list ($config.source | default dict)) | toYaml -}}
{{- end }}
