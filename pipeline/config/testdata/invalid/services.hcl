project = "shop"

target "web" {}

service "web" {
  image   = "target.web:1.0"          # ERROR: Reference in quotes
  count   = 1.5                       # ERROR: Number out of range
  command = "serve --port 80"         # ERROR: Wrong type for "command"
  workdir = "srv"                     # ERROR: Not an absolute path
  user    = ""                        # ERROR: Empty user
  env     = ["A=b"]                   # ERROR: Wrong type for "env"
  tmpfs   = ["tmp"]                   # ERROR: Not an absolute path
  cap_add = ["NET_ADMN"]              # ERROR: Unknown capability "NET_ADMN"
  mode    = "globl"                   # ERROR: Unknown mode "globl"
  port "http" { to = 70000 }          # ERROR: Number out of range
  port "a" {
    to      = 1
    publish = 80
  }
  port "b" {                          # ERROR: Port published twice
    to      = 2
    publish = 80
  }
  port "b" { to = 3 }                 # ERROR: Duplicate port "b"
  volume "a" { destination = "data" } # ERROR: Not an absolute path
  volume "b" { source = "/data" }     # ERROR: Missing argument "destination"
  volume "c" { destination = "/c" }
  volume "d" { destination = "/c" }   # ERROR: Two mounts in one place
  secret "a b" {}                     # ERROR: Invalid secret name
  secret "A" {                        # ERROR: Secret with two places
    env  = "A"
    file = "/a"
  }
  resources {
    cpu    = -1                       # ERROR: Number out of range
    memory = "256 megs"               # ERROR: Invalid amount
    pids   = 0                        # ERROR: Number out of range
  }
  resources { cpu = 1 }               # ERROR: Duplicate resources
  check {
    type     = "htp"                  # ERROR: Unknown type "htp"
    interval = "soon"                 # ERROR: Invalid duration
    timeout  = "0s"                   # ERROR: Duration too short
  }
  update {
    max_parallel     = "150%"         # ERROR: Number out of range
    min_healthy_time = "10m"          # ERROR: Time too long
    strategy         = "bluegreen"    # ERROR: Unknown strategy "bluegreen"
  }
  restart { policy = "sometimes" }    # ERROR: Unknown policy "sometimes"
  stop { signal = "SIGTRM" }          # ERROR: Unknown signal "SIGTRM"
}

service "unchecked" {
  image = "busybox"
  check {
    type    = "none"
    retries = 3                       # ERROR: Argument of no check
  }
}
service "never" {
  image = "busybox"
  port "http" { to = 80 }
  check {
    type          = "tcp"
    restart_after = "30s"             # ERROR: Restart of what is never restarted
  }
  restart { policy = "never" }
}
service "secure" {
  image   = "busybox"
  seccomp = "default"                 # ERROR: Unknown argument "seccomp"
  security {
    no_new_privileges = "perhaps"     # ERROR: Wrong type for "no_new_privileges"
    seccomp           = "none.json"   # ERROR: Unreadable seccomp profile
    apparmor          = "a profile"   # ERROR: Invalid AppArmor profile
    runtime           = "crun"        # ERROR: Not an absolute path
    cap_add           = ["ALL"]       # ERROR: Unknown argument "cap_add"
  }
}
service "filtered" {
  image = "busybox"
  security { seccomp = "services.txt" } # ERROR: Invalid seccomp profile
}
service "none" {}                     # ERROR: Missing argument "image"
service "tagged" {
  image = "${target.web}:1.0"         # ERROR: Invalid template interpolation value
}
service "misspelt" {
  image = target.wbe                  # ERROR: Reference to undeclared target
}
service "odd" {
  image = "UPPER CASE"                # ERROR: Invalid image
}
service "quoted" {
  image = "web"                       # WARNING: Image from a registry
}
service "host" {
  image = host.local                  # ERROR: Wrong type for "image"
}
service "check" {
  image = "busybox"
  env   = { TOKEN = "x" }
  port "http" { to = 80 }
  port "dns" {
    to       = 53
    protocol = "udp"
  }
  secret "TOKEN" {}                   # ERROR: Variable set twice
  check {
    type = "http"
    port = "htp"                      # ERROR: Reference to undeclared port
  }
}
service "several" {
  image = "busybox"
  port "a" { to = 80 }
  port "b" { to = 81 }
  check { type = "tcp" }              # ERROR: Check without a port
  update { strategy = "canary" }      # ERROR: Canary without a number
}
service "udp" {
  image = "busybox"
  port "dns" {
    to       = 53
    protocol = "udp"
  }
  check {
    type = "tcp"
    port = "dns"                      # ERROR: Check of a UDP port
    path = "/"                        # ERROR: Path of a check that has none
  }
}
service "exec" {
  image = "busybox"
  mode  = "global"
  count = 2                           # ERROR: Count of a global service
  check { type = "exec" }             # ERROR: Check without a command
}
environment "dev" { hosts = [host.local] }
