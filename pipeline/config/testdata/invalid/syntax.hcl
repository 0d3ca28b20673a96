project = "shop"
service "web" {
  image = "busybox # ERROR: Invalid multi-line string | Unterminated template string
} # ERROR: Invalid multi-line string
