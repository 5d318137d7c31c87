{{/*
The runtimes' sockets: names, states, exit codes and labels of containers. Writing to a socket needs no writable mount.
*/}}
{{- define "glassbox.runtimePaths" -}}
containerd: /run/containerd
crio: /run/crio
k3s: /run/k3s/containerd
docker: /var/run/docker.sock
{{- end -}}

{{- define "glassbox.runtimeMounts" -}}
{{- range $runtime, $path := include "glassbox.runtimePaths" . | fromYaml }}
{{- if index $.Values.runtimes $runtime }}
- name: {{ $runtime }}
  mountPath: {{ $path }}
  readOnly: true
{{- end }}
{{- end }}
{{- end -}}

{{- define "glassbox.runtimeVolumes" -}}
{{- range $runtime, $path := include "glassbox.runtimePaths" . | fromYaml }}
{{- if index $.Values.runtimes $runtime }}
- name: {{ $runtime }}
  hostPath:
    path: {{ $path }}
    type: {{ ternary "Socket" "Directory" (eq $runtime "docker") }}
{{- end }}
{{- end }}
{{- end -}}
