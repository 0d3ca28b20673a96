project = "shop"

locals { circle = host.round["a"] }

host "plain" { address = "ssh://plain" }
host "round" {                  # ERROR: Reference cycle
  for_each = { a = local.circle }
  address  = "ssh://${each.key}"
}
environment "dev" { hosts = [host.round["a"], host.plain] }
environment "test" { hosts = [host.plain] }
