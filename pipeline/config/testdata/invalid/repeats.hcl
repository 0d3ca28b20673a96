project = "shop"

variable "names" {
  default   = { a = "1" }
  sensitive = true
}

host "list" {
  for_each = ["a", "b"]                  # ERROR: Invalid for_each
  address  = "ssh://${each.key}"
}
host "null" {
  for_each = null                        # ERROR: Invalid for_each
  address  = "ssh://${each.key}"
}
host "secret" {
  for_each = var.names                   # ERROR: Invalid for_each
  address  = "ssh://${each.key}"
}
host "key" {
  for_each = toset(["UP", "ok"])         # ERROR: Invalid key in for_each
  address  = "ssh://${each.value}"
}
host "web" {
  for_each = toset(["a", "b"])
  address  = "ssh://${each.key}.example.com"
  bogus    = each.value                  # ERROR: Unknown argument "bogus"
}
host "web-a" { address = "ssh://a" }     # ERROR: Duplicate host "web-a"
host "plain" { address = "ssh://${each.key}" } # ERROR: each without for_each

dynamic "variable" {                     # ERROR: Invalid dynamic block
  for_each = []
  labels   = ["a"]
  content {}
}
dynamic "host" {
  for_each = ["x"]
  labels   = "x"                         # ERROR: Wrong type for "labels"
  content { address = "ssh://x" }
}
service "s" {
  for_each = { a = 1 }
  image    = "busybox"
  count    = each.value
}
environment "dev" {
  hosts = [host.web]                     # ERROR: Reference expected
  service "s" { for_each = {} }          # ERROR: Unknown argument "for_each"
}
environment "test" {
  hosts = [host.web["c"], host.web.a]    # ERROR: Invalid index
}
