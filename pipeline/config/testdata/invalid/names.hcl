project = "Shop" # ERROR: Invalid project name

variable "version" {     # ERROR: No value for variable "version"
  type     = string
  nullable = false
}
variable "version" {}     # ERROR: Duplicate variable "version"
variable "two words" {}   # ERROR: Invalid name
locals {
  a = local.b             # ERROR: Reference cycle
  b = local.c
  c = local.a
  d = local.e             # ERROR: Reference to undeclared local value
  f = var.verison         # ERROR: Reference to undeclared variable
  g = locl.a              # ERROR: Unknown name "locl"
  h = t1                  # ERROR: Unknown name "t1"
  i = local               # ERROR: local is not a value
  j = uper("x")           # ERROR: Call to unknown function
  k = getenv("A")         # ERROR: Call to unknown function
  l = git.shaa            # ERROR: Reference to undeclared git value
  m = file("missing.txt") # ERROR: Invalid function argument
  n = env("NOT_SET")      # ERROR: Invalid function argument
}
locals { d = 1 } # ERROR: Duplicate local.d

registry { address = "https://registry.example.com" } # ERROR: Invalid registry address
registry { address = "x.example.com" }                # ERROR: Duplicate registry

service "Web" { image = "busybox" }     # ERROR: Invalid service name
service "a" { image = "busybox" }
service "a" { image = "busybox" }       # ERROR: Duplicate service "a"
host "local" { address = "ssh://here" } # ERROR: Reserved name
host "t1" { address = "ssh://t1" }
environment "dev" { hosts = [host.local] }
