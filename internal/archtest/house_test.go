package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

const (
	maxFunction = 70  // lines
	maxFile     = 500 // lines
)

func TestFunctionsAndFilesStayReadable(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		if n := s.fset.Position(s.file.FileEnd).Line; n > maxFile {
			t.Errorf("%s has %d lines, more than %d", s.path, n, maxFile)
		}
		for _, d := range s.file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := s.fset.Position(fn.End()).Line - s.fset.Position(fn.Pos()).Line + 1; n > maxFunction {
				t.Errorf("%s: %s has %d lines, more than %d", s.pos(fn), fn.Name.Name, n, maxFunction)
			}
		}
	}
}

func TestPackagesAreNamedByWhatTheyHold(t *testing.T) {
	empty := []string{"util", "utils", "common", "helper", "helpers", "manager", "misc", "base", "shared", "lib"}
	for _, s := range sources(t) {
		if slices.Contains(empty, path.Base(s.dir)) || slices.Contains(empty, s.file.Name.Name) {
			t.Errorf("%s: package %s says nothing of what it holds", s.path, s.file.Name.Name)
		}
	}
}

func TestNoInit(t *testing.T) {
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: init function", s.pos(fn))
			}
		}
	}
}

// TestNoMutablePackageState: a package-level variable is a constant that the
// language can't spell, or it isn't there. Such a one has a value (or an
// embed directive), isn't of a type that exists to change, and nothing in its
// package assigns to it, to its parts, or takes its address.
func TestNoMutablePackageState(t *testing.T) {
	byDir := map[string][]*source{}
	for _, s := range sources(t) {
		if !s.test {
			byDir[s.dir] = append(byDir[s.dir], s)
		}
	}
	for _, files := range byDir {
		vars := map[string]string{} // name: where
		for _, s := range files {
			for _, fault := range declared(s, vars) {
				t.Error(fault)
			}
		}
		for _, s := range files {
			for name, where := range changes(s, vars) {
				t.Errorf("%s changes the package-level variable %s", where, name)
			}
		}
	}
}

// declared adds a file's package-level variables to vars and returns those
// that are there to change.
func declared(s *source, vars map[string]string) (faults []string) {
	for _, d := range s.file.Decls {
		gen, ok := d.(*ast.GenDecl)
		if !ok || gen.Tok != token.VAR {
			continue
		}
		for _, spec := range gen.Specs {
			v := spec.(*ast.ValueSpec)
			embedded := strings.HasPrefix(docOf(gen, v), "//go:embed ")
			for i, name := range v.Names {
				if name.Name == "_" {
					continue
				}
				vars[name.Name] = s.pos(name)
				switch {
				case embedded:
				case len(v.Values) == 0:
					faults = append(faults, s.pos(name)+": package-level variable "+name.Name+" without a value can only be there to change")
				case i < len(v.Values) && mutableType(v.Type, v.Values[i]):
					faults = append(faults, s.pos(name)+": package-level variable "+name.Name+" is of a type that changes")
				}
			}
		}
	}
	return faults
}

// docOf returns the last line above a declaration, where directives are.
func docOf(gen *ast.GenDecl, v *ast.ValueSpec) string {
	for _, doc := range []*ast.CommentGroup{v.Doc, gen.Doc} {
		if doc != nil {
			return doc.List[len(doc.List)-1].Text
		}
	}
	return ""
}

// mutableType reports whether a variable is a function (a seam that tests or
// callers replace) or of one of the types that exist to be changed.
func mutableType(declared, value ast.Expr) bool {
	// sync.OnceValue of a function without arguments is a constant that is
	// computed when first needed.
	if call, ok := value.(*ast.CallExpr); ok {
		if sel, ok := call.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "OnceValue" {
			return false
		}
	}
	if _, ok := value.(*ast.FuncLit); ok {
		return true
	}
	found := false
	for _, n := range []ast.Node{declared, value} {
		if n == nil {
			continue
		}
		ast.Inspect(n, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ChanType:
				found = true
			case *ast.SelectorExpr:
				if pkg, ok := n.X.(*ast.Ident); ok && (pkg.Name == "sync" || pkg.Name == "atomic" || pkg.Name == "rand") {
					found = true
				}
			}
			return !found
		})
	}
	return found
}

// changes finds where a file assigns to a package-level variable or to a part
// of it, deletes from it, or takes its address. Locals of the same name are
// told apart by the parser's resolution, which binds them in their function.
func changes(s *source, vars map[string]string) map[string]string {
	found := map[string]string{}
	note := func(e ast.Expr) {
		if id := rootOf(e); id != nil && vars[id.Name] != "" && packageLevel(s, id) {
			found[id.Name] = s.pos(id)
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, e := range n.Lhs {
					note(e)
				}
			}
		case *ast.IncDecStmt:
			note(n.X)
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				note(n.X)
			}
		case *ast.CallExpr:
			if fn, ok := n.Fun.(*ast.Ident); ok && len(n.Args) > 0 && slices.Contains([]string{"delete", "clear", "copy"}, fn.Name) {
				note(n.Args[0])
			}
		}
		return true
	})
	return found
}

// rootOf returns x of x, x.f, x[i], *x and (x).
func rootOf(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// packageLevel reports whether a name means the package's variable: the parser
// leaves names of other files unresolved and binds locals to where they are.
func packageLevel(s *source, id *ast.Ident) bool {
	if id.Obj == nil {
		return true
	}
	for _, d := range s.file.Decls {
		if gen, ok := d.(*ast.GenDecl); ok && gen.Tok == token.VAR {
			for _, spec := range gen.Specs {
				if id.Obj.Decl == spec {
					return true
				}
			}
		}
	}
	return false
}

func parse(t *testing.T, text string) *source {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "x.go", "package x\n"+text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return &source{path: "x.go", dir: "x", fset: fset, file: file}
}

func TestMutableStateIsFound(t *testing.T) {
	for _, text := range []string{
		"var n int",
		"var f = func() {}",
		"var mu = sync.Mutex{}",
		"var r = rand.Reader",
		"var t = map[string]int{}\nfunc g() { t[`a`] = 1 }",
		"var n = 1\nfunc g() { n++ }",
		"var s = []int{1}\nfunc g() { s = append(s, 2) }",
		"var c = T{}\nfunc g() { h(&c.x) }",
		"func g() { delete(other, 1) }",
	} {
		vars := map[string]string{"other": "elsewhere"}
		s := parse(t, text)
		if faults := declared(s, vars); len(faults) == 0 && len(changes(s, vars)) == 0 {
			t.Errorf("not found: %s", text)
		}
	}
	for _, text := range []string{
		"var errX = errors.New(`x`)",
		"var _ I = T{}",
		"//go:embed x.sql\nvar files embed.FS",
		"var t = map[string]int{`a`: 1}\nfunc g() int { return t[`a`] }",
		"var n = 1\nfunc g() { var n int; n++; m := 2; m = n }",
	} {
		vars := map[string]string{}
		s := parse(t, text)
		if faults := declared(s, vars); len(faults) != 0 || len(changes(s, vars)) != 0 {
			t.Errorf("found where there is none: %s", text)
		}
	}
}
