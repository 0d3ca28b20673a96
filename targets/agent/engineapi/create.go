package engineapi

import "net/http"

const labelAutoRemove = "dray.autoremove"

func (a *API) create(w http.ResponseWriter, r *http.Request) error { return nil }
