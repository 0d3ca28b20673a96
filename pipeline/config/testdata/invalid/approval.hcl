project = "shop"
host "t1" { address = "ssh://ci@t1.example.com" }
host "p1" { address = "ssh://ci@p1.example.com" }
service "web" { image = "nginx:1" }
environment "test" { hosts = [host.t1] }
environment "prod" {
  hosts = [host.p1]
  promotion {
    from                  = environment.test
    prevent_self_approval = true # ERROR: Nothing to approve
  }
}
environment "later" {
  hosts = [host.p1]
  promotion {
    from                  = environment.prod
    approve               = true
    prevent_self_approval = "very" # ERROR: Wrong type for "prevent_self_approval"
  }
}
