package config

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"dray/pipeline"
	"dray/pipeline/phrase"
	"dray/pipeline/secret"
)

// Options are what to load. The zero value reads dray.hcl of the working
// folder, or of the nearest folder above it that has one.
type Options struct {
	Dir      string              // folder to look in, then the ones above it; "" is the working folder
	File     string              // this file and no other
	Vars     map[string]string   // values of --var NAME=VALUE
	VarFiles []string            // files of NAME = value lines, HCL or JSON; later ones win
	Environ  []string            // "NAME=VALUE": for env() and DRAY_VAR_NAME; usually os.Environ()
	Git      func() (Git, error) // what git.sha and the like are; called at most once, and only when the file refers to it; nil is no checkout
}

// Loaded is a project as its files describe it.
type Loaded struct {
	Project   *pipeline.Project
	Dir       string            // folder of the files, as the user would type it
	Files     []string          // the files read, the main one first
	Variables map[string]string // every variable's value as text, for people; "[secret]" for a sensitive one
	Sensitive []secret.Value    // values of sensitive variables, to be kept out of output
}

// Load reads a project. Loaded is nil exactly when the diagnostics have
// errors; warnings may come with it.
func Load(opts Options) (*Loaded, Diagnostics) {
	l := newLoader(opts)
	paths, dir := l.findFiles()
	for _, path := range paths {
		l.parse(path)
	}
	return l.finish(paths, dir)
}

// loader holds what one Load has read so far.
type loader struct {
	opts       Options
	dir        string // folder of the files, as the user would type it
	files      map[string]*hcl.File
	bodies     []hcl.Body
	diags      hcl.Diagnostics
	suppressed int // above 0, faults are dropped: the same source is being decoded once more
	scope      *scope
	blocks     map[string][]*hcl.Block   // by type, in the order of the files; those with for_each, and dynamic ones, once expanded
	topLevel   map[string]*hcl.Attribute // arguments of the outermost level that only bake knows
	ranges     map[pipeline.Pos]hcl.Range
	began      time.Time // what timestamp() gives
	noGit      bool      // expressions find no checkout

	repeats  map[string][]string // names of the instances of a block with for_each, by "KIND.NAME"
	matrices map[string][]string // targets of a matrix, by the name of its block

	services     map[string]*serviceDeclaration // by name
	tasks        map[string]*taskDeclaration
	environments []*environmentDeclaration // in the order of the files
}

func newLoader(opts Options) *loader {
	return &loader{
		opts:     opts,
		began:    time.Now(),
		files:    map[string]*hcl.File{},
		blocks:   map[string][]*hcl.Block{},
		topLevel: map[string]*hcl.Attribute{},
		ranges:   map[pipeline.Pos]hcl.Range{},

		repeats: map[string][]string{}, matrices: map[string][]string{},
		services: map[string]*serviceDeclaration{},
		tasks:    map[string]*taskDeclaration{},
	}
}

// finish evaluates and decodes what was parsed.
func (l *loader) finish(paths []string, dir string) (*Loaded, Diagnostics) {
	l.dir = dir
	var project *pipeline.Project
	if !l.diags.HasErrors() { // what a file means is open as long as it does not parse
		project = l.project()
	}
	out := fromHCL(l.diags, l.files)
	if out.HasErrors() || project == nil {
		return nil, out
	}
	return &Loaded{
		Project:   project,
		Dir:       dir,
		Files:     paths,
		Variables: l.scope.shown(),
		Sensitive: l.scope.sensitiveValues(),
	}, out
}

// project decodes all blocks, in the order in which they build on each other.
func (l *loader) project() *pipeline.Project {
	attrs := l.root()
	l.scope = newScope(l)
	l.scope.evaluate()

	p := &pipeline.Project{
		Targets:  map[string]*pipeline.Target{},
		Services: map[string]*pipeline.Service{},
		Tasks:    map[string]*pipeline.Task{},
		Hosts:    map[string]*pipeline.Host{},
	}
	if abs, err := filepath.Abs(l.dir); err == nil {
		p.Dir = abs
	} else {
		l.faultAt(nil, "Cannot find the working folder", "%s.", phrase.Capital(phrase.Cause(err)))
	}
	l.decodeName(p, attrs)
	l.decodeRegistry(p)
	l.decodeTargets(p)
	l.decodeGroups(p)
	l.decodeServices(p)
	l.decodeTasks(p)
	l.decodeHosts(p)
	l.decodeEnvironments(p)
	l.check(p)
	l.checkTopLevel()
	return p
}

// root reads the outermost level of every file: it fills l.blocks and
// l.topLevel and returns the project's attribute.
func (l *loader) root() []*hcl.Attribute {
	var names []*hcl.Attribute
	for _, body := range l.bodies {
		content := l.rootContent(body)
		if attr := content.Attributes["project"]; attr != nil {
			names = append(names, attr)
		}
		for _, b := range content.Blocks {
			typ := b.Type
			if typ == "dynamic" {
				typ = b.Labels[0]
				if !slices.Contains(referable, typ) {
					l.fault(b.LabelRanges[0], "Invalid dynamic block", "A dynamic block of the outermost level makes blocks of type %s, not %q.", strings.Join(referable, ", "), typ)
					continue
				}
			}
			l.blocks[typ] = append(l.blocks[typ], b)
		}
	}
	return names
}

// rootContent reads the outermost level of a file. An argument that dray does
// not know may be a name of bake's, so its fault waits: see checkTopLevel.
func (l *loader) rootContent(body hcl.Body) *hcl.BodyContent {
	content, diags := body.Content(kindRoot.schema())
	attrs, _ := body.JustAttributes() // blocks among them are no fault here
	for _, d := range diags {
		if d.Subject != nil && unknownArgument(d) {
			if name := l.text(*d.Subject); attrs[name] != nil && hclsyntax.ValidIdentifier(name) {
				l.topLevel[name] = attrs[name]
				continue
			}
		}
		l.add(l.reworded(d, kindRoot, "the file"))
	}
	return content
}

// checkTopLevel records a fault for each argument of the outermost level that is
// neither dray's nor used as a name, as bake's are: it is misspelt, or no use.
func (l *loader) checkTopLevel() {
	for _, name := range sortedKeys(l.topLevel) {
		if !l.scope.used[name] {
			summary, detail := kindRoot.unknown(name, false)
			l.fault(l.topLevel[name].NameRange, summary, "%s", detail)
		}
	}
}

// posOf keeps a source range and returns its start as a value of the domain.
func (l *loader) posOf(rng hcl.Range) pipeline.Pos {
	pos := pipeline.Pos{File: rng.Filename, Line: rng.Start.Line, Column: rng.Start.Column}
	if _, ok := l.ranges[pos]; !ok {
		l.ranges[pos] = rng
	}
	return pos
}

// rangeAt returns the source range that posOf was given.
func (l *loader) rangeAt(pos pipeline.Pos) hcl.Range { return l.ranges[pos] }
