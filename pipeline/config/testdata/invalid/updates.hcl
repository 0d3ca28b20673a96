project = "shop"
service "both" {
  image = "nginx:1.27"
  update {
    healthy_deadline  = "30s"
    progress_deadline = "5s" # ERROR: Deadline too short
  }
}
service "usual" {
  image = "nginx:1.27"
  update {
    progress_deadline = "90s" # ERROR: Deadline too short
  }
}
service "slow" {
  image = "nginx:1.27"
  update {
    healthy_deadline = "15m" # ERROR: Time too long
  }
}
service "never" {
  image = "nginx:1.27"
  update {
    min_healthy_time = "30s"
    healthy_deadline = "10s" # ERROR: Deadline too short
  }
}
environment "dev" { hosts = [host.local] }
