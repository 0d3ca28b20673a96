project = "shop"

locals {
  zones = { a = "10.0.0.1", b = "10.0.0.2" }
  fleet = [for h in host.web : h] # references in a local
}

host "web" {
  for_each = local.zones
  address  = "ssh://deploy@${each.value}"
  jump     = ["ssh://bastion-${each.key}.example.com"]
}
dynamic "host" {
  for_each = toset(["db1", "db2"])
  iterator = it
  labels   = [it.key]
  content { address = "ssh://${it.value}.example.com" }
}

service "worker" {
  for_each = toset(["mail", "video"])
  image    = "busybox"
  command  = ["work", each.key]
  dynamic "port" {
    for_each = [each.key]
    labels   = [port.value]
    content { to = length(each.key) + 8000 }
  }
}
task "report" {
  for_each     = { day = "0 3 * * *", week = "0 4 * * 0" }
  image        = "busybox"
  command      = ["report", each.key]
  schedule     = each.value
  environments = [environment.prod["eu"], environment.prod["us"]]
}

environment "test" { hosts = values(host.web) }
environment "prod" {
  for_each = { eu = ["a"], us = ["b"] }
  hosts    = concat([for z in each.value : host.web[z]], each.key == "eu" ? [host.db1] : [])
  promotion { from = environment.test }
  verify "smoke" { command = ["./smoke.sh", each.key] }
  service "worker" { count = 2 }
  service "worker-mail" { count = 3 }
}
environment "all" { hosts = concat(local.fleet, [host.db2]) }
