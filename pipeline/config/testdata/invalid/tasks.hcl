project = "shop"

target "web" {}

service "quoted" { image = "web" }            # WARNING: Image from a registry
service "nothing" {
  image      = "busybox"
  entrypoint = []                             # ERROR: Nothing to run
}
service "secrets" {
  image = "busybox"
  volume "run" { destination = "/run/a/" }
  secret "a" { file = "/run/a" }              # ERROR: Two mounts in one place
}
task "empty" {
  image   = "busybox"
  command = []                                # ERROR: Empty command
}
task "nothing" {
  image      = "busybox"
  entrypoint = []                             # ERROR: Nothing to run
  command    = []
}
task "twice" {
  image   = "busybox"
  command = ["x"]
  env     = { TOKEN = "x" }
  secret "TOKEN" {}                           # ERROR: Variable set twice
  secret "OTHER" { env = "TOKEN" }            # ERROR: Variable set twice | Variable set twice
  volume "a" { destination = "/c" }
  volume "b" { destination = "/c/" }          # ERROR: Two mounts in one place
}
registry { address = "myregistry/shop" }      # ERROR: Invalid registry address
environment "dev" {
  hosts = []                                  # ERROR: No hosts
  task "twice" {
    secret "OTHER" { enabled = false }
  }
}
