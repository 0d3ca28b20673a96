project = "shop"

target "a" { inherits = ["b"] } # ERROR: Inheritance cycle
target "b" { inherits = [target.a] } # ERROR: Inheritance cycle
target "c" { inherits = ["d"] } # ERROR: Reference to undeclared target
target "e" { contexts = { x = "target:f" } } # ERROR: Reference to undeclared target
target "g" { contexts = { x = target.h } } # ERROR: Context cycle
target "h" { contexts = { x = target.g } } # ERROR: Context cycle
target "base" { network = "bridge" } # ERROR: Unknown network "bridge"
target "child" { inherits = ["base"] } # a fault is said once, where it is
target "web" {
  platforms  = ["linux"] # ERROR: Invalid platform
  tags       = ["UPPER:x"] # ERROR: Invalid tag
  ulimits    = ["nofile"] # ERROR: Invalid ulimit
  cache-from = ["ref=x,mode=max"] # ERROR: Cache without a type
  cache-to   = [5] # ERROR: Invalid cache-to
  secret     = [{ type = "env" }] # ERROR: Secret without an id
  ssh        = [{ id = "a", pths = "x" }] # ERROR: Unknown key "pths" in ssh
  shm-size   = "big" # ERROR: Invalid amount
  dockerfile = "a"
  dockerfile-inline = "FROM x" # ERROR: Two Dockerfiles
  args       = { A = ["x"] } # ERROR: Wrong type for "args"
  extra-hosts = ["db"] # ERROR: Invalid extra host
  entitlements = ["device"] # ERROR: Invalid entitlement
}
environment "dev" { hosts = [host.local] }
