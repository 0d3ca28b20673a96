project = "shop"

target "web" {}
