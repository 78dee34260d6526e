variable "image_digest" {
  description = "The image to run, by digest. A new image is a new value here; a new model is not."
  type        = string

  validation {
    condition     = can(regex("^sha256:[0-9a-f]{64}$", var.image_digest))
    error_message = "Give the digest of a pushed image: sha256: and 64 hexadecimal digits."
  }
}

variable "tracking_uri" {
  description = "Address of the MLflow server that says which version is the champion."
  type        = string

  validation {
    condition     = can(regex("^https?://.+$", var.tracking_uri))
    error_message = "Give the address with its scheme, such as https://mlflow.larch.example."
  }
}

variable "vpc_id" {
  type = string
}

variable "subnet_ids" {
  description = "Private subnets, at least two."
  type        = list(string)
}

variable "security_group_id" {
  description = "Lets the load balancer reach port 8000, and the tasks reach MLflow and S3."
  type        = string
}

variable "listener_arn" {
  description = "The HTTPS listener of the load balancer that all of Larch's services share."
  type        = string
}
