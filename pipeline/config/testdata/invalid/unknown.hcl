project = "shop"
projct  = "shop" # ERROR: Unknown argument "projct"

services "web" {} # ERROR: Unknown block "services"

target "web" {
  dockerfle  = "Dockerfile" # ERROR: Unknown argument "dockerfle"
  output     = ["type=docker"] # ERROR: output is not honoured yet
  attest     = ["type=sbom"]   # ERROR: attest is not honoured yet
  secret     = ["id"]
  dockerfile = "a"
}

service "web" {
  image = target.web
  helth { path = "/up" }             # ERROR: Unknown block "helth"
  healthcheck { test = "x" }         # ERROR: Unknown block "healthcheck"
  replicas = 2                       # ERROR: Unknown argument "replicas"
  check    = { type = "tcp" }        # ERROR: Unknown argument "check"
  port     = 80                      # ERROR: Unknown argument "port"
  env { A = "b" }                    # ERROR: Unknown block "env"
  port { to = 80 }                   # ERROR: Missing name
  port "http" "x" { to = 80 }        # ERROR: Label not expected
  resources "x" { cpu = 1 }          # ERROR: Label not expected
}

environment "dev" {
  hosts    = [host.local]
  services = [] # ERROR: Unknown argument "services"
}
