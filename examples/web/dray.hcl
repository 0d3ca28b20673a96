# One image, three environments. Try: dray validate, dray ship, dray status.
project = "shop"

variable "version" {
  type        = string
  default     = "1.0"
  description = "what /version answers"
  validation {
    condition     = length(var.version) <= 40
    error_message = "A version has at most 40 characters."
  }
}

target "web" {
  context = "."
  args    = { VERSION = var.version }
}

service "web" {
  image = target.web
  env   = { PORT = "8080" }
  port "http" {
    to      = 8080
    publish = 80
  }
  resources {
    cpu    = 0.5
    memory = "64MiB"
    pids   = 64
  }
  check {
    type     = "http"
    port     = "http"
    path     = "/up"
    interval = "1s"
    timeout  = "2s"
  }
  update {
    max_parallel     = 1
    min_healthy_time = "200ms"
    healthy_deadline = "30s"
    drain            = "10s"
  }
}

host "d1" { address = "ssh://deploy@d1" }
host "t1" { address = "ssh://deploy@t1" }
host "p1" { address = "ssh://deploy@p1" }
host "p2" { address = "ssh://deploy@p2" }

environment "dev" { hosts = [host.d1] }

environment "test" {
  hosts = [host.t1]
  promotion { from = environment.dev }
  verify "smoke" {
    command = ["./smoke.sh"]
    timeout = "30s"
  }
}

environment "prod" {
  hosts = [host.p1, host.p2]
  promotion { from = environment.test }
  service "web" { count = 4 }
}
