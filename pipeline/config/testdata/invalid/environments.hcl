project = "shop"

service "web" {
  image = "busybox"
  port "http" {
    to      = 80
    publish = 80
  }
}
service "admin" {
  image = "busybox"
  port "http" {
    to      = 81
    publish = 8080
  }
}
service "only" {
  image        = "busybox"
  environments = [environment.c]
}
task "t" { # ERROR: Task with two occasions
  image     = "busybox"
  command   = ["x"]
  hook      = "before"     # ERROR: Unknown hook "before"
  schedule  = "0 3 * *"    # ERROR: Invalid schedule
  time_zone = "Mars/Olympus" # ERROR: Unknown time zone "Mars/Olympus"
}
task "u" { # ERROR: Task with two occasions
  image    = "busybox"
  command  = ["x"]
  hook     = "pre-deploy"
  schedule = "@daily" # ERROR: Invalid schedule
}

host "t1" { address = "ssh://t1" }
host "t2" { address = "ssh://t1" }
host "t3" { address = "http://t3" }        # ERROR: Invalid address
host "t4" { address = "ssh://a:pw@t4" }    # ERROR: Invalid address
host "t5" { address = "ssh://t5:0" }       # ERROR: Invalid address
host "t6" {}                               # ERROR: Missing argument "address"
host "t7" {
  address = "ssh://t7"
  jump    = "ssh://a,b c"                  # ERROR: Invalid address
}

environment "a" {                          # WARNING: Port shared between environments
  hosts = [host.tset1, host.t1, host.t1]   # ERROR: Reference to undeclared host | Duplicate host
  promotion { from = environment.b }       # ERROR: Promotion cycle
}
environment "b" {
  hosts = [host.t1, host.t2]               # ERROR: One machine twice
  promotion { from = environment.a }
  service "web" { cuont = 4 }              # ERROR: Unknown argument "cuont"
  service "wbe" { count = 4 }              # ERROR: Reference to undeclared service
  service "only" { count = 4 }             # ERROR: Service does not run here
  task "x" { timeout = "1m" }              # ERROR: Reference to undeclared task
}
environment "c" {
  hosts = ["t1"]                           # ERROR: Reference expected
  service "admin" {
    port "http" { publish = 80 }           # ERROR: Port conflict
  }
}
environment "d" {                          # ERROR: Missing argument "hosts"
  promotion { from = "a" }                 # ERROR: Reference expected
  verify "smoke" { timeout = "1s" }        # ERROR: Missing argument "command"
  verify "empty" { command = [] }          # ERROR: Empty command
  verify "shell" { command = "./x.sh" }    # ERROR: Wrong type for "command"
}
environment "e" {
  hosts          = host.t1                 # ERROR: Wrong type for "hosts"
  retain         = 0                       # ERROR: Number out of range
  confirm_within = "1s"                    # ERROR: Duration too short
  promotion { from = environment.zz }      # ERROR: Reference to undeclared environment
}
environment "f" { hosts = [] }              # ERROR: No hosts
environment "g" { hosts = [for h in host : h if false] } # ERROR: No hosts
task "limited" {
  image        = "busybox"
  command      = ["x"]
  environments = [environment.c]
}
environment "h" {
  hosts = [host.t7]
  task "limited" { timeout = "1m" }          # ERROR: Task does not run here
  service "web" {
    port "htpt" { enabled = false }          # ERROR: Reference to undeclared port
    volume "data" { enabled = false }        # ERROR: Reference to undeclared volume
  }
}

task "over-midnight" {
  image    = "busybox"
  command  = ["x"]
  schedule = "0 22-2 * * *" # ERROR: Invalid schedule
}
