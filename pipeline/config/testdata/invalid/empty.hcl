## ERROR: No project name | No environment
