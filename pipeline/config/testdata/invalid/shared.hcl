project = "shop"
service "web" {
  image = "busybox"
  port "http" {
    to      = 80
    publish = 80
  }
}
environment "dev" { hosts = [host.local] }
environment "test" { hosts = [host.local] } # WARNING: Port shared between environments
