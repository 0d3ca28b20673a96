project = "shop"

service "db" {
  image = "postgres:17"
  port "pg" {
    to      = 5432
    publish = 5432
    address = "localhost" # ERROR: Invalid address
  }
  port "v6" {
    to      = 1
    publish = 1
    address = ["127.0.0.1", "2001:db8::1"] # ERROR: Invalid address
    from    = "fd00::/8"                   # ERROR: Invalid from
  }
  port "network" {
    to      = 2
    publish = 2
    address = "10.0.0.0/8"   # ERROR: Invalid address
    from    = ["10.1.2.3/8"] # ERROR: Invalid from
  }
  port "misspelt" {
    to      = 3
    publish = 3
    address = "10.0.0"   # ERROR: Invalid address
    from    = ["office"] # ERROR: Invalid from
  }
  port "both" {
    to      = 4
    publish = 4
    address = ["*", "127.0.0.1"] # ERROR: Address beside all addresses
  }
  port "none" {
    to      = 5
    publish = 5
    address = [] # ERROR: Empty list
  }
  port "inner" {
    to      = 6
    address = "127.0.0.1" # ERROR: Nothing is published
  }
  port "one" {
    to      = 7
    publish = 7
    address = "127.0.0.1"
  }
  port "two" { # ERROR: Port published twice
    to      = 8
    publish = 7
  }
}
service "cache" {
  image = "valkey"
  port "one" {
    to      = 7
    publish = 70
    address = "127.0.0.1"
  }
}
service "inside" {
  image = "valkey"
  port "one" {
    to      = 7
    publish = 70
    address = "10.0.0.5"
  }
}
service "again" {
  image = "valkey"
  port "one" { # ERROR: Port conflict
    to      = 7
    publish = 70
    address = ["10.0.0.5", "10.0.0.6"]
  }
}
host "t1" { address = "ssh://ci@t1.example.com" }
environment "test" { hosts = [host.t1] }
