{{/* Palette brings a Specman of its own: whoever holds one of the chart's names is
named, before anything is changed, and with the two ways to go on. */}}
{{- define "specman.checkOwnership" -}}
{{- if .Values.checkOwnership -}}
{{- $name := include "specman.fullname" . -}}
{{- $objects := list
      (list "apps/v1" "StatefulSet" $name)
      (list "v1" "Service" (include "specman.serviceName" .))
      (list "v1" "Service" (include "specman.headlessName" .))
      (list "v1" "ConfigMap" (printf "%s-config" $name))
      (list "v1" "Secret" (printf "%s-secrets" $name)) -}}
{{- if .Values.serviceAccount.create -}}
  {{- $objects = append $objects (list "v1" "ServiceAccount" (include "specman.serviceAccountName" .)) -}}
{{- end -}}
{{- range $o := $objects -}}
  {{- with lookup (index $o 0) (index $o 1) $.Release.Namespace (index $o 2) -}}
    {{- $annotations := .metadata.annotations | default dict -}}
    {{- $owner := get $annotations "meta.helm.sh/release-name" -}}
    {{- if ne $owner $.Release.Name -}}
      {{- $beside := ternary "specman-oci" (printf "%s-oci" $name) (eq $name "specman") -}}
      {{- printf "\n\n%s %s in namespace %s is not of this release, but of %s.\nPalette brings a Specman of its own. Nothing was changed; there are two ways:\n\n  beside it   --set fullnameOverride=%s\n              and the endpoint is https://%s-service.%s.svc.%s:%v\n  in its place  see \"Take over from Palette's own Specman\" in docs/kubernetes.md\n"
            (index $o 1) (index $o 2) $.Release.Namespace
            (ternary (printf "release %s" $owner) "none that Helm knows" (ne $owner ""))
            $beside $beside $.Release.Namespace $.Values.clusterDomain $.Values.service.port | fail -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
