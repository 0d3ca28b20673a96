project = "shop"

variable "secret" {
  default   = "hush"
  sensitive = true
}
variable "short" { # ERROR: Invalid value for variable "short"
  default = "much too long"
  validation {
    condition     = length(var.short) < 5
    error_message = "short has fewer than 5 characters."
  }
}
variable "number" {
  type    = number
  default = "many" # ERROR: Invalid value for variable "number"
}
variable "set" {
  default  = null # ERROR: Invalid value for variable "set"
  nullable = false
}
variable "typo" {
  type    = strng # ERROR: Invalid type specification
  default = ""
  sensitive = var.short # ERROR: Wrong type for "sensitive"
}
locals { wrapped = "x-${var.secret}" }
function "upper" { # ERROR: Function exists
  params = [x]
  result = x
}
function "broken" { # ERROR: Missing argument "result"
  params = [x]
}
service "web" {
  image = "busybox"
  env   = { TOKEN = local.wrapped } # ERROR: Sensitive value in the open
  dynamic "port" { # ERROR: Missing argument "to"
    for_each = [80]
    labels   = ["http"]
    content { too = port.value } # ERROR: Unknown argument "too"
  }
  dynamic "port" {
    labels   = ["x"]
    for_each = 5 # ERROR: Invalid dynamic for_each value
    content { to = 1 }
  }
}
environment "dev" { hosts = [host.local] }
