project = "shop"

registry {
  address = "registry.example.com/shop"
  tags    = ["latest", "", "feature/x"] # ERROR: Invalid tag
}
environment "dev" { hosts = [host.local] }
