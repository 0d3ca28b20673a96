# Kept by dray; check it in. It pins base images and the keys of hosts.
# A host's key changes here only after "dray host trust".

base "docker.io/library/busybox:latest" {
  digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
}

base "docker.io/library/golang:1.26" {
  digest = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
}

host "p1" {
  key       = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEZ5jgCdBAIo9dbKUVOuTTzgXrhbPyQWf1YPT9DVFYnt"
  agent_key = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="
}

host "p2" {
  key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEZ5jgCdBAIo9dbKUVOuTTzgXrhbPyQWf1YPT9DVFYnt"
}
