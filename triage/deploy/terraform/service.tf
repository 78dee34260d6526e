resource "aws_cloudwatch_log_group" "logs" {
  name              = "/larch/triage"
  retention_in_days = 30
}

resource "aws_ecs_cluster" "cluster" {
  name = "triage"
}

# region task
locals {
  container = {
    name  = "triage"
    image = "${local.images}/triage@${var.image_digest}"
    command = [
      "python", "-m", "triage", "serve",
      "--host", "0.0.0.0",
      "--model", "models:/triage@champion",
    ]
    environment = [
      { name = "MLFLOW_TRACKING_URI", value = var.tracking_uri },
      { name = "OMP_NUM_THREADS", value = "1" }, # as many as cpu buys
    ]
    portMappings = [{ containerPort = 8000 }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.logs.name
        awslogs-region        = local.region
        awslogs-stream-prefix = "triage"
      }
    }
  }
}

resource "aws_ecs_task_definition" "task" {
  family                   = "triage"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 1024 # one core, all of it for the encoder
  memory                   = 2048
  task_role_arn            = aws_iam_role.service_role.arn
  execution_role_arn       = aws_iam_role.execution_role.arn
  container_definitions    = jsonencode([local.container])
}
# endregion task

resource "aws_lb_target_group" "targets" {
  name        = "triage"
  vpc_id      = var.vpc_id
  target_type = "ip"
  protocol    = "HTTP"
  port        = 8000

  health_check {
    path                = "/readyz"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
    matcher             = "200"
  }
}

resource "aws_lb_listener_rule" "rule" {
  listener_arn = var.listener_arn
  priority     = 100

  condition {
    path_pattern {
      values = ["/predict"]
    }
  }

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.targets.arn
  }
}

resource "aws_ecs_service" "service" {
  name                              = "triage"
  cluster                           = aws_ecs_cluster.cluster.id
  task_definition                   = aws_ecs_task_definition.task.arn
  launch_type                       = "FARGATE"
  desired_count                     = 2
  health_check_grace_period_seconds = 120 # imports and loading come before the first /readyz

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [var.security_group_id]
    assign_public_ip = false
  }

  load_balancer {
    container_name   = "triage"
    container_port   = 8000
    target_group_arn = aws_lb_target_group.targets.arn
  }

  depends_on = [aws_lb_listener_rule.rule] # a target group that no listener knows is refused

  lifecycle {
    ignore_changes = [desired_count] # autoscaling moves it
  }
}

resource "aws_appautoscaling_target" "capacity" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.cluster.name}/${aws_ecs_service.service.name}"
  min_capacity       = 2
  max_capacity       = 6
}

resource "aws_appautoscaling_policy" "scaling" {
  name               = "triage-cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.capacity.service_namespace
  scalable_dimension = aws_appautoscaling_target.capacity.scalable_dimension
  resource_id        = aws_appautoscaling_target.capacity.resource_id

  target_tracking_scaling_policy_configuration {
    target_value = 60

    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}
