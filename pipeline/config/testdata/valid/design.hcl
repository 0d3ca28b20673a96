project = "shop"

variable "version" {
  type    = string
  default = "dev"
  validation {
    condition     = length(var.version) <= 40
    error_message = "version too long"
  }
}
locals { repo = "shop/web" }

registry { address = "registry.example.com/shop" }   # leave out: no registry needed

target "web" {                       # docker buildx bake
  context    = "."
  dockerfile = "Dockerfile"
  platforms  = ["linux/amd64", "linux/arm64"]
  args       = { VERSION = var.version }
  secret     = [{ type = "env", id = "NPM_TOKEN" }]
}

service "web" {
  image = target.web                 # a reference, never a tag; or "postgres:17"
  count = 2                          # spread over the environment's hosts
  env   = { PORT = "8080" }
  port "http" {
    to      = 8080                   # in the container
    publish = 80                     # on the host
  }
  resources {
    cpu    = 0.5
    memory = "256MiB"
    pids   = 256
  }
  check {
    type     = "http"                # http, tcp, exec
    port     = "http"
    path     = "/up"
    interval = "1s"
    timeout  = "5s"
  }
  update {
    max_parallel      = 1
    min_healthy_time  = "5s"
    healthy_deadline  = "2m"
    progress_deadline = "10m"
    auto_revert       = true         # the default
    drain             = "30s"
  }
  restart { policy = "always" }
  volume "data" { destination = "/data" }
  secret "DATABASE_URL" { env = "DATABASE_URL" }     # or file = "/run/secrets/db"
}

task "migrate" {
  image   = target.web
  command = ["bin/migrate"]
  hook    = "pre-deploy"             # with the new image, before the rollout; or schedule = "0 3 * * *"
  timeout = "5m"
}

host "t1" { address = "ssh://ci@t1.example.com" }
host "p1" { address = "ssh://deploy@p1.example.com" }
host "p2" {
  address = "ssh://deploy@p2.example.com"
  jump    = "ssh://ops@bastion.example.com"
}

environment "dev"  { hosts = [host.local] }          # this machine, no SSH
environment "test" {
  hosts = [host.t1]
  promotion { from = environment.dev }
  verify "smoke" {
    command = ["./smoke.sh"]
    timeout = "2m"
  }
}
environment "prod" {
  hosts = [host.p1, host.p2]
  promotion {
    from    = environment.test       # the same digest, with evidence, or refuse
    min_age = "30m"
    approve = true
  }
  service "web" { count = 4 }        # merged over the service above
}
