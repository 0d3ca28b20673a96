project = "p"
service "size" {
  image = "busybox"
  tmpfs = ["/cache:size=lots"]     # ERROR: Invalid tmpfs
}
service "option" {
  image    = "busybox"
  tmpfs    = ["/cache:huge=always"] # ERROR: Invalid tmpfs
  shm_size = "a bit"                # ERROR: Invalid amount
}
service "mode" {
  image = "busybox"
  tmpfs = ["/cache:mode=rwx"]       # ERROR: Invalid tmpfs
}
service "place" {
  image = "busybox"
  tmpfs = ["/data:size=1m"]
  volume "data" { destination = "/data" } # ERROR: Two mounts in one place
}
environment "dev" { hosts = [host.local] }
