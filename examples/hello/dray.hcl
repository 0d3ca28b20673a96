# The smallest project: one image, one service, one host.
# Try: dray deploy dev, then dray logs dev hello.
project = "hello"

target "hello" { context = "." }

service "hello" { image = target.hello }

host "d1" { address = "ssh://deploy@d1" }

environment "dev" { hosts = [host.d1] }
