// Renders the Helm chart as Helm does, for machines without Helm: Go's own templates, sprig's functions and Helm's few.
//
//	render CHART KUBERNETES-VERSION [VALUES-FILE]...
//
// It builds on Debian's packages golang-go, golang-github-masterminds-sprig-dev and golang-k8s-sigs-yaml-dev. Of Helm it
// knows what the chart uses; a function it does not know is an error, as is a value that the template needs and nobody set.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"sigs.k8s.io/yaml"
)

type object = map[string]interface{}

// files answers `.Files.Get`.
type files string

func (folder files) Get(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(string(folder), name))
	return string(text), err
}

// apiVersions answers `.Capabilities.APIVersions.Has`.
type apiVersions struct{}

func (apiVersions) Has(string) bool { return true }

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: render CHART KUBERNETES-VERSION [VALUES-FILE]...")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(chart, kubernetes string, valueFiles []string) error {
	values, err := readYaml(filepath.Join(chart, "values.yaml"))
	if err != nil {
		return err
	}
	for _, name := range valueFiles {
		more, err := readYaml(name)
		if err != nil {
			return err
		}
		merge(values, more)
	}
	description, err := readYaml(filepath.Join(chart, "Chart.yaml"))
	if err != nil {
		return err
	}
	about := object{}
	for key, value := range description {
		about[strings.ToUpper(key[:1])+key[1:]] = value
	}
	context := object{
		"Values":       values,
		"Chart":        about,
		"Release":      object{"Name": "test", "Namespace": "registry", "Service": "Helm", "IsInstall": true, "IsUpgrade": false, "Revision": 1},
		"Capabilities": object{"KubeVersion": object{"Version": "v" + kubernetes}, "APIVersions": apiVersions{}},
		"Files":        files(chart),
	}
	return render(chart, context)
}

func render(chart string, context object) error {
	all := template.New("chart").Option("missingkey=zero")
	all.Funcs(functions(all))
	names, err := filepath.Glob(filepath.Join(chart, "templates", "*"))
	if err != nil {
		return err
	}
	sort.Strings(names)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if _, err := all.New(filepath.Base(name)).Parse(string(text)); err != nil {
			return err
		}
	}
	for _, name := range names {
		base := filepath.Base(name)
		if strings.HasPrefix(base, "_") {
			continue
		}
		var out strings.Builder
		if err := all.ExecuteTemplate(&out, base, context); err != nil {
			return err
		}
		// A value that is not there prints like this.
		text := strings.ReplaceAll(out.String(), "<no value>", "")
		if strings.HasSuffix(base, ".txt") {
			continue
		}
		fmt.Printf("---\n# Source: %s\n%s\n", base, text)
	}
	return nil
}

func functions(all *template.Template) template.FuncMap {
	known := sprig.TxtFuncMap()
	// As Helm does: a chart must not read the environment.
	delete(known, "env")
	delete(known, "expandenv")
	known["toYaml"] = func(value interface{}) (string, error) {
		text, err := yaml.Marshal(value)
		return strings.TrimSuffix(string(text), "\n"), err
	}
	known["include"] = func(name string, context interface{}) (string, error) {
		var out strings.Builder
		err := all.ExecuteTemplate(&out, name, context)
		return out.String(), err
	}
	known["required"] = func(why string, value interface{}) (interface{}, error) {
		if value == nil || value == "" {
			return nil, errors.New(why)
		}
		return value, nil
	}
	return known
}

func readYaml(name string) (object, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	values := object{}
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return values, nil
}

// merge puts more over values, folder by folder.
func merge(values, more object) {
	for key, value := range more {
		below, isObject := value.(object)
		old, wasObject := values[key].(object)
		if isObject && wasObject {
			merge(old, below)
		} else {
			values[key] = value
		}
	}
}
