package api_test

import (
	"testing"

	"dray/targets/api"
)

func TestParseRole(t *testing.T) {
	for _, text := range []string{"", "owner", "deploy", "deploy:", "look:prod", "admin:prod", "deploy:shop/", "deploy:/prod", "deploy:a/b/c", "look,", "deploy:prod;look", "deploy:*", "Admin"} {
		if role, err := api.ParseRole(text); err == nil {
			t.Errorf("%q is role %v", text, role)
		}
	}
	role, err := api.ParseRole("deploy:stage,approve:shop/prod")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		right                api.Right
		project, environment string
		may                  bool
	}{
		{api.RightLook, "", "", true},
		{api.RightDeploy, "shop", "stage", true},
		{api.RightDeploy, "blog", "stage", true},
		{api.RightDeploy, "shop", "prod", false},
		{api.RightDeploy, "", "", false},
		{api.RightApprove, "shop", "prod", true},
		{api.RightApprove, "blog", "prod", false},
		{api.RightApprove, "shop", "stage", false},
		{api.RightAdmin, "shop", "stage", false},
		{api.RightAdmin, "", "", false},
	} {
		if got := role.May(c.right, c.project, c.environment); got != c.may {
			t.Errorf("%s in %s of %s: %t", c.right, c.environment, c.project, got)
		}
	}
	if role.IsAdmin() || !role.MaySomewhere(api.RightDeploy) || role.MaySomewhere(api.RightAdmin) || role.String() != "deploy:stage,approve:shop/prod" {
		t.Errorf("%v", role)
	}
	if none := (api.Role{}); none.May(api.RightLook, "", "") || none.MaySomewhere(api.RightLook) {
		t.Error("the zero role may look")
	}
}
