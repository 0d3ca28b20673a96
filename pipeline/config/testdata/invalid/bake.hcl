project = "shop"

registry { address = "registry.example.com/shop" }

misspelt = "unused"                      # ERROR: Unknown argument "misspelt"
base     = "busybox"

variable "list" {
  type = list(string)
}

function "loop" {
  params = [n]
  result = other(n)
}
function "other" {
  params = [n]
  result = loop(n)
}
function "wrong" {
  params = []
  result = BSAE                          # ERROR: Unknown name "BSAE"
}

target "_common" {}                      # only inherited from
target "Web" {                           # ERROR: Target name that no registry takes
  inherits    = ["_common"]
  annotations = ["idnex:a=b", "novalue"] # ERROR: Invalid annotation | Invalid annotation
  tags        = ["ghcr.io/MyOrg/w:1"]    # ERROR: Invalid tag
  args        = { A = loop(1), C = target.m.tags[0] } # ERROR: Error in function call
  labels      = { D = target.m.args, E = base } # ERROR: Reference to an argument that is not set
  contexts    = { B = wrong() }
}
target "m" {
  tags = ["example.com/m:1"]
}
target "matrix" {                        # ERROR: Matrix without names
  matrix = { a = ["x", "y"] }
  args   = { A = a, B = a, C = "${a}-${a}" }
}
target "same" {
  name   = "one"                         # ERROR: Duplicate target
  matrix = { a = ["x", "y"] }
}
group "default" { targets = ["web", "all", target.m] } # ERROR: Reference to undeclared target | Group cycle
group "all" { targets = ["default"] }    # ERROR: Group cycle
