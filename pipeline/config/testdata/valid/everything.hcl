project = "shop"

variable "version" {
  type        = string
  default     = "dev"
  description = "what the service says it is"
  nullable    = false
  validation {
    condition     = length(var.version) <= 40 && can(regex("^[a-z0-9.-]+$", var.version))
    error_message = "version is too long, or has odd characters"
  }
}
variable "from_env" { default = "d" }
variable "replicas" {
  type    = map(number)
  default = { prod = 4 }
}
variable "TAG" { default = "latest" } # as bake has it
variable "plans" {
  type = list(object({ name = string, port = optional(number, 9000) }))
  default = [{ name = "admin" }, { name = "metrics", port = 9100 }]
}

locals {
  image  = "${local.prefix}/web" # any order
  prefix = lower("SHOP")
}

locals { labels = merge({ team = "web" }, { commit = git.short }) }

function "greet" {
  params = [name]
  result = "hello ${upper(name)}"
}

registry {
  address  = "registry.example.com:5000/shop/"
  insecure = true
  tags     = ["latest", ""]
}

group "default" { targets = ["web"] }

target "base" {
  dockerfile = "base.Dockerfile"
  args       = { A = "base", B = 2, C = true }
  platforms  = ["linux/amd64"]
  labels     = { from = "base" }
  description = "what the others build on"
}

target "web" {
  inherits    = ["base"]
  context     = "web"
  args        = { A = "web", VERSION = "${TAG}-${var.version}", DIRTY = git.dirty, GREETING = greet("ann") }
  contexts    = { base = target.base, docs = "../docs", other = "target:tool" }
  cache-from  = ["type=registry,ref=example.com/cache", { type = "local", src = "cache" }, "example.com/plain:1", ""]
  cache-to    = ["type=inline"]
  secret      = ["type=env,id=NPM_TOKEN", { id = "netrc", src = "~/.netrc" }, "id=token,env=TOKEN"]
  ssh         = ["default", { id = "deploy", paths = ["a", "b"] }, "key=/k"]
  tags        = ["example.com/web:${TAG}"]
  annotations = ["index:org.example=1"]
  target      = "final"
  no-cache-filter = ["deps"]
  pull        = true
  network     = "none"
  shm-size    = "128m"
  ulimits     = ["nofile=1024:2048"]
  extra-hosts = { "db" = "10.0.0.1" }
  entitlements = ["network.host"]
}

target "tool" {
  dockerfile-inline = <<-DOCKERFILE
    FROM busybox
  DOCKERFILE
  no-cache    = true
  extra-hosts = ["db=10.0.0.1"]
}

service "web" {
  image      = target.web
  count      = 2
  entrypoint = ["/init"]
  command    = ["serve", "--port", 8080]
  workdir    = "/srv"
  user       = "1000:1000"
  env = {
    PORT  = 8080
    HOME_ = env("HOME")
    NONE  = env("NOT_SET", "fallback")
    DEBUG = true
  }
  labels    = local.labels
  tmpfs     = ["/tmp", "/cache:size=64m,mode=0700,exec"]
  shm_size  = "256MiB"
  read_only = true
  cap_add   = ["cap_net_admin", "SYS_TIME"]
  cap_drop  = ["ALL"]
  metadata = true
  port "http" {
    to      = 8080
    publish = 80
  }
  port "inner" {
    to      = 9100
    publish = 9100
    address = "127.0.0.1"
  }
  port "office" {
    to      = 9101
    publish = 9100
    address = ["wg0", "10.0.0.5", "wg0"]
    from    = ["192.0.2.7", "10.0.0.0/8"]
  }
  port "everywhere" {
    to      = 9102
    publish = 9102
    address = "*"
    from    = "0.0.0.0/0"
  }
  dynamic "port" {
    for_each = var.plans
    labels   = [port.value.name]
    content { to = port.value.port }
  }
  port "dns" {
    to       = 53
    protocol = "udp"
  }
  volume "data" { destination = "/data" }
  volume "etc" {
    source      = "/etc/shop"
    destination = "/etc/shop"
    read_only   = true
  }
  secret "DATABASE_URL" {}
  secret "KEY" { file = "/run/secrets/key" }
  secret "TOKEN" { env = "API_TOKEN" }
  resources {
    cpu    = "0.5"
    memory = "256MiB"
    pids   = 256
  }
  check {
    type         = "http"
    port         = "http"
    path         = "/up"
    interval     = "250ms"
    timeout      = "2s"
    start_period = "10s"
    retries      = 5

    restart_after = "1m"
  }
  update {
    max_parallel      = "50%"
    min_healthy_time  = "5s"
    healthy_deadline  = "2m"
    progress_deadline = "10m"
    auto_revert       = false
    drain             = "0s"
  }
  restart {
    policy   = "on-failure"
    attempts = 5
    delay    = "1s"
  }
  stop {
    signal = "quit"
    grace  = "30s"
  }
}

service "db" {
  image = "postgres:17"
  volume "pg" { destination = "/var/lib/postgresql/data" }
  check {
    type    = "exec"
    command = ["pg_isready"]
  }
  update { strategy = "recreate" }
}

service "log" {
  image        = "ghcr.io/example/log@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  mode         = "global"
  environments = [environment.prod]
  check { type = "none" }
  init = true
  security {
    no_new_privileges = false
    seccomp           = "seccomp.json"
    apparmor          = "example-log"
    runtime           = "/usr/bin/crun"
  }
}

task "migrate" {
  image   = target.web
  command = ["bin/migrate"]
  hook    = "pre-deploy"
  timeout = "5m"
  secret "DATABASE_URL" {}
}

task "report" {
  image     = target.web
  command   = ["bin/report"]
  schedule  = "0  3 * * *"
  time_zone = "Europe/Berlin"
  overlap   = "replace"
}

host "t1" { address = "ci@t1.example.com:2222" }
host "p1" { address = "ssh://deploy@p1.example.com" }
host "p2" {
  address = "ssh://deploy@[2001:db8::1]:22"
  jump    = ["ssh://a.example.com", "ops@b.example.com"]
}

# Out of order on purpose: test comes before prod by its promotion.
environment "prod" {
  hosts          = [host.p1, host.p2]
  retain         = 3
  confirm_within = "90s"
  promotion {
    from    = environment.test
    min_age = "30m"
    approve = true

    prevent_self_approval = true
  }
  service "web" {
    count = var.replicas.prod
    env   = { DEBUG = null, LOG_LEVEL = "warn" }
    port "http" { publish = 8000 }
    port "extra" { to = 1 }
    check { path = "/up?deep=1" }
    update { drain = "1m" }
    resources { memory = "1GiB" }
  }
  task "report" { timeout = "1h" }
}
environment "dev" { hosts = [host.local] }
environment "test" {
  hosts = [for name, h in host : h if startswith(name, "t")]
  promotion { from = environment.dev }
  verify "smoke" {
    command = ["./smoke.sh"]
    env     = { LEVEL = 1 }
    timeout = "250ms"
  }
  verify "more" { command = ["true"] }
}
