"""The serving stack as Terraform and as CloudFormation, and what keeps the two and the deployed one alike."""
