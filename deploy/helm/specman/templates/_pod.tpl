{{/* The volumes with the configuration and the secrets, and where they are mounted.
Folders, so that the kubelet swaps their content in place; optional, so that a Secret
that is not there keeps no pod from serving what it holds. */}}
{{- define "specman.configVolumes" -}}
- name: config
  configMap:
    name: {{ include "specman.fullname" . }}-config
    optional: true
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      # All of it: a secret that comes later changes the Secret and no pod.
      - secret:
          name: {{ include "specman.fullname" . }}-secrets
          optional: true
      {{- $bySecret := dict }}
      {{- range $name, $file := include "specman.files" . | fromYaml }}
      {{- with $file.secret }}
      {{- $_ := set $bySecret . (append (get $bySecret . | default list) (dict "key" $file.key "path" $name)) }}
      {{- end }}
      {{- end }}
      {{- range $secret, $items := $bySecret }}
      - secret:
          name: {{ $secret }}
          optional: true
          items:
            {{- toYaml $items | nindent 12 }}
      {{- end }}
{{- end }}

{{- define "specman.configMounts" -}}
- name: config
  mountPath: /etc/specman
  readOnly: true
- name: secrets
  mountPath: /run/specman
  readOnly: true
{{- end }}

{{- define "specman.storeDir" -}}
{{- (.Values.config.store).dir | default "/var/lib/specman" -}}
{{- end }}
