package mlflow

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/jobs/internal/reach"
)

// files reads the files of one version of a model.
type files struct {
	survey  *survey
	model   Model
	version modelVersion
	run     *oneRun
	// address is where the files lie; empty before it was asked for.
	address string
}

// errNoFile says that no way leads to a file.
var errNoFile = errors.New("the server hands out neither the model's folder nor this file")

// read returns a file of the model's folder. It asks the proxy of artifacts when
// the server says that the files lie behind it, else the page by which the
// server's own UI shows files, which reads them from wherever they are.
func (f *files) read(ctx context.Context, name string) (string, error) {
	c := f.survey.client
	if f.address == "" {
		address, err := f.locate(ctx)
		if err != nil {
			return "", err
		}
		f.address = address
	}
	var errs []error
	if folder, ok := f.proxied(); ok {
		text, err := c.file(ctx, c.base.JoinPath("api/2.0/mlflow-artifacts/artifacts", folder, name), "mlflow-artifacts "+name)
		if err == nil || isFault(err) && !isServerError(err) {
			return text, err
		}
		errs = append(errs, plainError(err))
	}
	u := c.base.JoinPath("model-versions/get-artifact")
	u.RawQuery = url.Values{"name": {f.version.Name}, "version": {string(f.version.Version)}, "path": {name}}.Encode()
	text, err := c.file(ctx, u, "model-versions/get-artifact "+name)
	if err == nil || isFault(err) && !isServerError(err) {
		return text, err
	}
	return "", errors.Join(append(errs, plainError(err))...)
}

// isFault tells whether the server itself cannot be asked.
func isFault(err error) bool {
	_, ok := errors.AsType[*reach.Fault](err)
	return ok
}

// isServerError tells whether the server stumbled over one question: reading a
// file fails so when the server itself cannot reach where the files lie.
func isServerError(err error) bool {
	f, ok := errors.AsType[*reach.Fault](err)
	return ok && f.Kind == reach.Status
}

// plainError takes the fault out of an error about one file.
func plainError(err error) error {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	return err
}

// locate asks where the files of the version lie.
func (f *files) locate(ctx context.Context) (string, error) {
	var answer struct {
		Address string `json:"artifact_uri"`
	}
	query := url.Values{"name": {f.version.Name}, "version": {string(f.version.Version)}}
	err := f.survey.client.get(ctx, "model-versions/get-download-uri", query, &answer)
	if err != nil {
		if isFault(err) {
			return "", err
		}
		answer.Address = f.version.Source
	}
	for _, address := range []string{answer.Address, f.version.Source} {
		id := modelVersion{Source: address}.modelID()
		if id == "" {
			continue
		}
		l, err := f.survey.loggedModel(ctx, id)
		if isFault(err) {
			return "", err
		}
		if err == nil && l.Info.Artifacts != "" {
			return l.Info.Artifacts, nil
		}
	}
	if answer.Address == "" {
		return "", errNoFile
	}
	return answer.Address, nil
}

// proxied returns the folder behind the server's proxy of artifacts, when it is
// this server's.
func (f *files) proxied() (string, bool) {
	u, err := url.Parse(f.address)
	if err != nil {
		return "", false
	}
	base := f.survey.client.base
	switch u.Scheme {
	case "mlflow-artifacts":
		return u.Path, u.Host == "" || u.Host == base.Host
	case "http", "https":
		_, folder, found := strings.Cut(u.Path, "/api/2.0/mlflow-artifacts/artifacts/")
		return folder, found && u.Host == base.Host
	}
	return "", false
}

// signature reads the model's signature, from the file MLmodel or, when that
// cannot be had, from what the run noted.
func (f *files) signature(ctx context.Context) (signature, error) {
	text, err := f.read(ctx, "MLmodel")
	if err == nil {
		return parseModelFile(text)
	}
	if isFault(err) {
		return signature{}, err
	}
	if noted, ok := f.noted(); ok {
		return noted, nil
	}
	return signature{}, err
}

// noted reads the tag in which MLflow before 3 notes the models that a run
// logged.
func (f *files) noted() (signature, bool) {
	if f.run == nil {
		return signature{}, false
	}
	for _, tag := range f.run.Data.Tags {
		if tag.Key != "mlflow.log-model.history" {
			continue
		}
		var history []struct {
			Path      string         `json:"artifact_path"`
			Signature *signatureText `json:"signature"`
		}
		if json.Unmarshal([]byte(tag.Value), &history) != nil {
			return signature{}, false
		}
		for _, h := range slices.Backward(history) {
			if h.Signature == nil || !strings.HasSuffix(strings.TrimRight(f.version.Source, "/"), "/"+h.Path) && len(history) > 1 {
				continue
			}
			s, err := h.Signature.parse()
			return s, err == nil
		}
	}
	return signature{}, false
}
