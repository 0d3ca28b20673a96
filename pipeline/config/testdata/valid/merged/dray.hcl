project = "shop"
service "web" { image = target.web }
