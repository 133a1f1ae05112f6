import {
  createParamDecorator,
  Injectable,
  type CanActivate,
  type ExecutionContext,
} from '@nestjs/common';
import { forbidden, unauthorized } from '../http/problem';
import { IdentityVerifier, type IdentifiedRequest, type Identity } from './identity';

/** Lets verified tenants in, and puts their identity on the request. */
@Injectable()
export class TenantGuard implements CanActivate {
  constructor(private readonly verifier: IdentityVerifier) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const identity = await identify(this.verifier, context);
    if (identity.tenant === undefined) throw unauthorized('The request names no tenant.');
    return true;
  }
}

/** Lets admins in. */
@Injectable()
export class AdminGuard implements CanActivate {
  constructor(private readonly verifier: IdentityVerifier) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const identity = await identify(this.verifier, context);
    if (!identity.admin) throw forbidden('Only an admin may do this.');
    return true;
  }
}

async function identify(verifier: IdentityVerifier, context: ExecutionContext): Promise<Identity> {
  const request = context.switchToHttp().getRequest<IdentifiedRequest>();
  request.identity = await verifier.verify(request);
  return request.identity;
}

/** The caller's verified tenant; behind {@link TenantGuard} only. */
export const CurrentTenant = createParamDecorator((_data: unknown, context: ExecutionContext) => {
  const { identity } = context.switchToHttp().getRequest<IdentifiedRequest>();
  if (identity?.tenant === undefined) throw new Error('The route is not behind TenantGuard.');
  return identity.tenant;
});

/** Who asks, for the audit trail; behind one of the guards only. */
export const CurrentActor = createParamDecorator((_data: unknown, context: ExecutionContext) => {
  const { identity } = context.switchToHttp().getRequest<IdentifiedRequest>();
  if (identity === undefined) throw new Error('The route is not behind a guard of identity.');
  return identity.actor;
});
