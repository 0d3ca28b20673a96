project = "shop"

registry { address = "localhost/shop" }

service "web" {
  image      = "busybox"
  entrypoint = []
  command    = ["sh"]
  env        = { A = "1", B = "2" }
  port "http" {
    to      = 80
    publish = 80
  }
  port "debug" {
    to      = 6060
    enabled = false
  }
  volume "data" { destination = "/data" }
  secret "TOKEN" {}
  check { type = "http" }
  resources { cpu = 1 }
}
service "db" {
  image   = "postgres:17"
  command = []
}
task "clean" {
  image   = "busybox"
  command = ["true"]
  volume "data" { destination = "/data" }
  secret "TOKEN" {}
}

environment "dev" {
  hosts = [host.local]
  service "web" {
    env = { B = null }
    port "http" { publish = 0 }
    port "debug" { enabled = true }
    volume "data" { enabled = false }
    secret "TOKEN" { enabled = false }
    check { enabled = false }
    resources { cpu = 0 }
  }
  task "clean" {
    volume "data" { enabled = false }
    secret "TOKEN" { enabled = false }
  }
}
environment "test" {
  hosts = [null, host.local]
  service "web" {
    port "http" { enabled = false }
    port "debug" { enabled = true }
  }
}
