package agent

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"

	"dray/pipeline"
	"dray/targets/api"
)

// file is what a dray.hcl says of one environment, and what builds and secrets
// add to it.
type file struct {
	Hosts    []string
	Services []pipeline.Service
	Tasks    []pipeline.Task
	Images   map[string]int    // by service or "task.NAME": number of the digest
	Secrets  map[string]string // name → version
	Retain   int
}

func newFile() *file {
	web, db, node := service("web"), service("db"), service("node")
	web.Count, node.Mode = 3, pipeline.ModeGlobal
	web.Ports = []pipeline.Port{{Name: "http", To: 8080, Publish: 80, Protocol: "tcp"}, {Name: "admin", To: 9090, Protocol: "tcp"}}
	web.Secrets = []pipeline.Secret{{Name: "A", Env: "A"}, {Name: "B", File: "/run/b"}}
	web.Env, web.Resources = map[string]string{"LEVEL": "info"}, pipeline.Resources{Memory: 1500 << 20, CPU: 0.5}
	db.Volumes = []pipeline.Volume{{Name: "data", Destination: "/data"}, {Name: "wal", Destination: "/data/wal"}}
	report := pipeline.Task{Name: "report", Schedule: "0 0 1 1 *", Command: []string{"report"}, Secrets: []pipeline.Secret{{Name: "A", Env: "A"}}}
	return &file{
		Hosts: []string{"p1", "p2"}, Services: []pipeline.Service{web, db, node}, Tasks: []pipeline.Task{report},
		Images:  map[string]int{"web": 1, "db": 2, "node": 3, "task.report": 1},
		Secrets: map[string]string{"A": "version-a1", "B": "version-b1", "C": "version-c1"}, Retain: 3,
	}
}

// clone copies a file through its JSON form, as releases travel.
func (f *file) clone() *file {
	text, err := json.Marshal(f)
	out := &file{}
	if err == nil {
		err = json.Unmarshal(text, out)
	}
	if err != nil {
		panic(err)
	}
	return out
}

// release is what a deployer makes of it.
func (f *file) release() api.Release {
	c := f.clone()
	r := api.Release{Project: "shop", Environment: "prod", Services: c.Services, Tasks: c.Tasks, Retain: c.Retain,
		Images: map[string]api.Image{}, Secrets: map[string]string{}, ConfirmIn: pipeline.Duration(time.Minute)}
	use := func(key string, secrets []pipeline.Secret) {
		r.Images[key] = api.Image{Name: "shop/" + key, Digest: digest(c.Images[key])}
		for _, s := range secrets {
			r.Secrets[s.Name] = c.Secrets[s.Name]
		}
	}
	for _, s := range c.Services {
		use(s.Name, s.Secrets)
	}
	for _, t := range c.Tasks {
		use("task."+t.Name, t.Secrets)
	}
	return r
}

// editor changes files as people do: any field of a service or a task, found
// by reflection so that none can be forgotten, their order, their number,
// images, secrets and hosts.
type editor struct {
	*rand.Rand
	next int // a new value each time
}

// edit changes one thing, and says what.
func (e *editor) edit(f *file) string {
	switch e.IntN(12) {
	case 0:
		return e.reorder(f)
	case 1:
		key := pick(e, slices.Sorted(maps.Keys(f.Images)))
		f.Images[key] = 1 + e.IntN(5)
		return "image of " + key
	case 2:
		name := pick(e, slices.Sorted(maps.Keys(f.Secrets)))
		f.Secrets[name] = "version-" + e.fresh()
		return "secret " + name
	case 3:
		f.Retain = 1 + e.IntN(4)
		return "retain"
	case 4:
		f.Hosts = pick(e, [][]string{{"p1"}, {"p2"}, {"p1", "p2"}, {"p1", "p2"}})
		return fmt.Sprint("hosts ", f.Hosts)
	case 5:
		return e.service(f)
	case 6:
		if len(f.Tasks) > 0 {
			return "task: " + e.value(reflect.ValueOf(&f.Tasks[e.IntN(len(f.Tasks))]).Elem(), "")
		}
	case 7:
		return "nothing"
	}
	s := &f.Services[e.IntN(len(f.Services))]
	return s.Name + ": " + e.value(reflect.ValueOf(s).Elem(), "")
}

// reorder exchanges blocks and changes nothing else.
func (e *editor) reorder(f *file) string {
	for i := range f.Services {
		s := &f.Services[i]
		e.shuffle(s.Ports, s.Volumes, s.Secrets, s.Tmpfs, s.CapAdd, s.CapDrop)
	}
	for i := range f.Tasks {
		e.shuffle(f.Tasks[i].Secrets, f.Tasks[i].Volumes)
	}
	return "order"
}

func (e *editor) shuffle(lists ...any) {
	for _, list := range lists {
		e.Shuffle(reflect.ValueOf(list).Len(), reflect.Swapper(list))
	}
}

// service adds or removes one, or a task.
func (e *editor) service(f *file) string {
	switch i := slices.IndexFunc(f.Services, func(s pipeline.Service) bool { return s.Name == "extra" }); {
	case i >= 0:
		f.Services = slices.Delete(f.Services, i, i+1)
		return "one service less"
	case len(f.Tasks) > 0 && e.IntN(3) == 0:
		f.Tasks = nil
		return "no task"
	case len(f.Tasks) == 0:
		f.Tasks = newFile().Tasks
		return "a task"
	}
	extra := service("extra")
	extra.Count = 2
	f.Services, f.Images["extra"] = append(f.Services, extra), 4
	slices.SortFunc(f.Services, func(a, b pipeline.Service) int { return compare(a.Name, b.Name) })
	return "one service more"
}

func (e *editor) fresh() string { e.next++; return fmt.Sprintf("v%06d", e.next) }

// words are the values of fields that take only some.
var words = map[string][]string{
	"Mode": {pipeline.ModeReplicated, pipeline.ModeReplicated, pipeline.ModeGlobal}, "Protocol": {"tcp", "udp"},
	"AppArmor": {"", pipeline.ProfileUnconfined}, "Runtime": {"", "/bin/true"}, "Seccomp": {"", pipeline.ProfileUnconfined},
	"Policy":   {pipeline.RestartAlways, pipeline.RestartOnFailure, pipeline.RestartNever},
	"Schedule": {"0 0 1 1 *", "5 0 1 1 *", ""}, "TimeZone": {"", "UTC"},
	"Strategy": {pipeline.StrategyRolling, pipeline.StrategyCanary, pipeline.StrategyBlueGreen, pipeline.StrategyAllAtOnce, pipeline.StrategyRecreate},
}

// value changes a value into another one that a host accepts, and says which.
func (e *editor) value(v reflect.Value, name string) string {
	if all := words[name]; all != nil {
		v.SetString(pick(e, all))
		return name
	}
	switch v.Kind() {
	case reflect.Struct:
		field := v.Type().Field(e.IntN(v.NumField()))
		for slices.Contains([]string{"Name", "Hook"}, field.Name) || field.Type == reflect.TypeFor[pipeline.Pos]() {
			field = v.Type().Field(e.IntN(v.NumField()))
		}
		return name + "." + e.value(v.FieldByName(field.Name), field.Name)
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		} else if e.IntN(3) == 0 {
			v.SetZero()
			return name
		}
		return e.value(v.Elem(), name)
	case reflect.Slice:
		return name + e.list(v, name)
	case reflect.Map:
		key := reflect.ValueOf(pick(e, []string{"A", "LEVEL", "Z.z"}))
		value := reflect.ValueOf(pick(e, []string{"", e.fresh()}))
		if e.IntN(3) == 0 {
			value = reflect.Value{} // gone
		}
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString(e.text(name))
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Float64:
		v.SetFloat(float64(e.IntN(8)) / 4)
	default:
		v.SetInt(e.number(v.Type(), name))
	}
	return name
}

func (e *editor) text(name string) string {
	switch name {
	case "Destination", "File":
		return "/" + e.fresh()
	case "Address": // of ports
		return pick(e, []string{"127.0.0.1", "192.0.2.1", "eth9"})
	case "From":
		return pick(e, []string{"10.0.0.0/8", "192.0.2.0/24", "198.51.100.7/32"})
	case "Source":
		return pick(e, []string{"", "/", "/usr", "/etc", "/dev"}) // what every host has
	}
	return pick(e, []string{"", e.fresh(), e.fresh() + " "})
}

func (e *editor) number(typ reflect.Type, name string) int64 {
	switch {
	case typ == reflect.TypeFor[pipeline.Duration]() && (name == "HealthyDeadline" || name == "ProgressDeadline"):
		return int64(time.Hour) + e.Int64N(int64(time.Minute))
	case typ == reflect.TypeFor[pipeline.Duration]():
		return int64(time.Second) + e.Int64N(int64(4*time.Second))
	case name == "Memory":
		return (1500 + 4*e.Int64N(9)) << 20 // all of them read 1.5GiB with one decimal
	case name == "Publish":
		e.next++
		return pick(e, []int64{0, 10000 + int64(e.next)})
	case name == "To":
		return 1 + e.Int64N(60000)
	case name == "Count":
		return e.Int64N(5)
	}
	return 1 + e.Int64N(100)
}

// list adds an element, takes one away, changes one or turns the order around.
func (e *editor) list(v reflect.Value, name string) string {
	n := v.Len()
	switch how := e.IntN(4); {
	case how == 0 || n == 0:
		element := reflect.New(v.Type().Elem()).Elem()
		switch element.Interface().(type) {
		case pipeline.Secret:
			used := v.Interface().([]pipeline.Secret)
			for _, secret := range []string{"A", "B", "C"} {
				if !slices.ContainsFunc(used, func(s pipeline.Secret) bool { return s.Name == secret }) {
					v.Set(reflect.Append(v, reflect.ValueOf(pipeline.Secret{Name: secret, Env: secret})))
					return "+"
				}
			}
			return " as before"
		case pipeline.Port:
			element.Set(reflect.ValueOf(pipeline.Port{Name: e.fresh(), To: 8080, Protocol: "tcp"}))
		case pipeline.Volume:
			element.Set(reflect.ValueOf(pipeline.Volume{Name: e.fresh(), Destination: "/" + e.fresh()}))
		case string:
			element.SetString("/" + e.fresh())
			if name == "Address" || name == "From" {
				element.SetString(e.text(name))
			}
		default:
			e.value(element, name)
		}
		v.Set(reflect.Append(v, element))
		return "+"
	case how == 1:
		i := e.IntN(n)
		v.Set(reflect.AppendSlice(v.Slice(0, i), v.Slice(i+1, n)))
		return "-"
	case how == 2:
		return "[]." + e.value(v.Index(e.IntN(n)), name)
	}
	e.shuffle(v.Interface())
	return " in another order"
}

func compare(a, b string) int { return slices.Compare([]byte(a), []byte(b)) }

func pick[T any](e *editor, of []T) T { return of[e.IntN(len(of))] }
