package main_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// A goFile is what the checks look at in one Go file.
type goFile struct {
	path    string // relative to the modulePath, with slashes
	folder  string // of it
	pkg     string
	test    bool
	made    bool // carries the mark of generated code
	lines   int
	imports []string
	types   map[int]string // exported types by line
	kind    string         // the name given to jobs.Define, if there is such a call
}

// moduleRoot returns the folder of go.mod above the test's.
func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
}

// readTree parses every Go file of the module below root. It walks the files itself, as `go list` would
// leave out those that the build constraints of this machine exclude.
func readTree(t *testing.T, root string) []goFile {
	t.Helper()
	var files []goFile
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if file != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") ||
				slices.Contains([]string{"testdata", "vendor", "node_modules", "var", "bin"}, name)) {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
			return nil
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		parsed, err := readFile(file, filepath.ToSlash(rel))
		files = append(files, parsed)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func readFile(file, rel string) (goFile, error) {
	source, err := os.ReadFile(file)
	if err != nil {
		return goFile{}, err
	}
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, rel, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return goFile{}, err
	}
	out := goFile{
		path: rel, folder: path.Dir(rel), pkg: parsed.Name.Name, test: strings.HasSuffix(rel, "_test.go"),
		made: ast.IsGenerated(parsed), lines: strings.Count(string(source), "\n"), types: map[int]string{},
	}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return goFile{}, err
		}
		out.imports = append(out.imports, imported)
	}
	ast.Inspect(parsed, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.TypeSpec:
			if node.Name.IsExported() {
				out.types[fset.Position(node.Pos()).Line] = node.Name.Name
			}
		case *ast.CallExpr:
			if name, ok := definedKind(node); ok && !out.test {
				out.kind = name
			}
		}
		return true
	})
	return out, nil
}

// definedKind returns the first argument of a call of jobs.Define, with or without type arguments.
func definedKind(call *ast.CallExpr) (string, bool) {
	function := call.Fun
	if indexed, ok := function.(*ast.IndexExpr); ok {
		function = indexed.X
	}
	selector, ok := function.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != "Define" || len(call.Args) == 0 {
		return "", false
	}
	if from, ok := selector.X.(*ast.Ident); !ok || from.Name != "jobs" {
		return "", false
	}
	literal, ok := call.Args[0].(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false
	}
	name, err := strconv.Unquote(literal.Value)
	return name, err == nil
}

// checkTree returns every complaint about files, sorted.
func checkTree(files []goFile) []string {
	var out []string
	folders := map[string][]goFile{}
	for _, file := range files {
		folders[file.folder] = append(folders[file.folder], file)
		if !file.test && !matchesAny(testPackages, file.folder) {
			out = append(out, checkImports(file)...)
			out = append(out, checkFile(file)...)
		}
	}
	for folder, files := range folders {
		out = append(out, checkFolder(folder, files)...)
	}
	out = append(out, checkFamilies(folders)...)
	out = append(out, checkOneFile(files)...)
	slices.Sort(out)
	return out
}

func checkImports(file goFile) []string {
	var out []string
	place, known := layerOf(file.folder)
	for _, imported := range file.imports {
		if ours, ok := strings.CutPrefix(imported, modulePath+"/"); ok {
			switch {
			case matchesAny(testPackages, ours):
				out = append(out, fmt.Sprintf("%s imports %s: it exists for tests", file.path, ours))
			case known && !matchesAny(place.may, ours):
				out = append(out, fmt.Sprintf("%s imports %s: %s", file.path, ours, place.why))
			}
			continue
		}
		for _, keeper := range keepers {
			if keeper.covers(imported) && !matchesAny(keeper.may, file.folder) {
				out = append(out, fmt.Sprintf("%s imports %s: %s", file.path, imported, keeper.why))
			}
		}
	}
	return out
}

func checkFile(file goFile) []string {
	var out []string
	if file.lines > maxFileLines && !file.made {
		out = append(out, fmt.Sprintf("%s: %d lines, %d are allowed: %s", file.path, file.lines, maxFileLines, fileLinesReason))
	}
	for line, name := range file.types {
		if word := lastWord(name); slices.Contains(forbiddenWords, word) {
			out = append(out, fmt.Sprintf("%s:%d: type %s: %s says nothing", file.path, line, name, word))
		}
	}
	return out
}

func checkFolder(folder string, files []goFile) []string {
	if folder == "." {
		return []string{files[0].path + ": no Go files in the root of the module"}
	}
	var out []string
	if top, _, _ := strings.Cut(folder, "/"); !slices.Contains(topFolders, top) {
		out = append(out, fmt.Sprintf("%s: the house has no top folder %s", folder, top))
	} else if _, known := layerOf(folder); !known && !matchesAny(testPackages, folder) {
		out = append(out, folder+": no layer covers this package: give it a place in layers_test.go")
	}
	for _, file := range files {
		if file.test {
			continue
		}
		if slices.ContainsFunc(forbiddenWords, func(word string) bool { return strings.EqualFold(word, file.pkg) }) {
			out = append(out, fmt.Sprintf("%s: a package named %s says nothing", folder, file.pkg))
		}
		if file.pkg != path.Base(folder) && file.pkg != "main" {
			out = append(out, fmt.Sprintf("%s: package %s in folder %s", folder, file.pkg, path.Base(folder)))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// checkFamilies looks whether each member of a plugin family is in its list, and each kind under its name.
func checkFamilies(folders map[string][]goFile) []string {
	var out []string
	for folder, files := range folders {
		family, name := path.Dir(folder), path.Base(folder)
		none, ok := families[family]
		if !ok || slices.Contains(none, name) {
			continue
		}
		listed := slices.ContainsFunc(folders[family+"/all"], func(file goFile) bool {
			return slices.Contains(file.imports, modulePath+"/"+folder)
		})
		if !listed {
			out = append(out, fmt.Sprintf("%s is missing in %s/all", folder, family))
		}
		if family != "jobs" {
			continue
		}
		defined := ""
		for _, file := range files {
			defined += file.kind
		}
		switch defined {
		case name:
		case "":
			out = append(out, folder+": no call of jobs.Define with a name")
		default:
			out = append(out, fmt.Sprintf("%s: the kind is called %q; folder, package and kind have one name", folder, defined))
		}
	}
	return out
}

func checkOneFile(files []goFile) []string {
	var out []string
	for _, library := range oneFile {
		var users []string
		for _, file := range files {
			if !file.test && slices.ContainsFunc(file.imports, func(p string) bool { return strings.HasPrefix(p, library) }) {
				users = append(users, file.path)
			}
		}
		if len(users) > 1 {
			out = append(out, fmt.Sprintf("%s is imported by %d files, one may: %s", library, len(users), strings.Join(users, ", ")))
		}
	}
	return out
}

func layerOf(folder string) (layer, bool) {
	i := slices.IndexFunc(layers, func(l layer) bool { return matches(l.packages, folder) })
	if i < 0 {
		return layer{}, false
	}
	return layers[i], true
}

// covers tells whether the keeper speaks about an import path; a closing "$" asks for exactly this one.
func (k keeper) covers(imported string) bool {
	if exact, ok := strings.CutSuffix(k.library, "$"); ok {
		return imported == exact
	}
	return strings.HasPrefix(imported, k.library)
}

func matchesAny(patterns []string, folder string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, folder) })
}

func matches(pattern, folder string) bool {
	if pattern == "..." {
		return true
	}
	if above, ok := strings.CutSuffix(pattern, "/..."); ok {
		return folder == above || strings.HasPrefix(folder, above+"/")
	}
	ok, err := path.Match(pattern, folder)
	return ok && err == nil
}

// lastWord returns the last capitalized word of a name: "Manager" of "LeaseManager".
func lastWord(name string) string {
	i := strings.LastIndexFunc(name, unicode.IsUpper)
	return name[max(i, 0):]
}
