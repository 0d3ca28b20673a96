project = "shop"

# As docker buildx bake has it.
REPO = "example.com/shop"
variable "SHA" {}
variable "TAG" { default = "latest" }
variable "environment" { default = "testing" }
variable "NUMBER" { type = number }
variable "LIST" {
  type    = list(string)
  default = ["a"]
}

function "tagged" {
  params = [name]
  result = ["${REPO}/${name}:${clean(TAG)}", notequal("", SHA) ? "${REPO}/${name}:${SHA}" : ""]
}
function "clean" {
  params         = [s]
  variadic_param = rest
  result         = replace(s, "/", "-")
}

group "default" { targets = ["web", "more"] }
group "more" { targets = ["tool", "", target.web] }
group "default" { targets = ["lint"] }

target "_common" {
  args            = { F = "-trimpath", G = "1" }
  secret          = ["id=npm,src=npmrc", "id=same,env=A"]
  ssh             = ["default"]
  cache-from      = ["type=registry,ref=example.com/cache:base"]
  cache-to        = ["type=inline"]
  annotations     = ["a=1"]
  ulimits         = ["nofile=1024", "nproc=10"]
  no-cache-filter = ["deps"]
  platforms       = ["linux/amd64"]
  tags            = ["example.com/base:1"]
  labels          = { from = "common", kept = "1" }
  extra-hosts     = { db = "10.0.0.1" }
}
target "web" {
  inherits        = ["_common"]
  args            = { F = TAG == "1" ? "-cover" : null, N = NUMBER, ENV = environment, L = LIST[0], SHA = SHA }
  secret          = ["id=gh,env=GH", "id=same,env=B", "type=file,id=npmrc", "type=env,id=tok,src=TOKEN"]
  ssh             = ["Deploy=/keys/a,/keys/b", { id = "Other", paths = ["/c"] }]
  cache-from      = ["type=registry,ref=example.com/cache:web", "type=registry,ref=example.com/cache:base"]
  cache-to        = []
  annotations     = ["index,manifest:org.x.title=x", "manifest[linux/amd64]:b=2", "a=1"]
  ulimits         = ["nofile=2048"]
  no-cache-filter = ["test"]
  platforms       = split(",", "")
  tags            = tagged("web")
  labels          = { from = "web", kept = null }
  context         = BAKE_CMD_CONTEXT
  contexts        = { docs = "cwd://docs", context = "other" }
}
target "web" { labels = { second = "block" } }
target "tool" {
  platforms         = ["local"]
  tags              = [target._common.tags[0]]
  context           = "https://example.com/repo.git#main:sub"
  dockerfile-inline = "FROM busybox"
}
target "lint" {
  name   = "lint-${v.go}-${os}"
  matrix = { v = [{ go = "1" }, { go = "2" }], os = ["linux", "darwin"] }
  args   = { GO = v.go, OS = os }
}
