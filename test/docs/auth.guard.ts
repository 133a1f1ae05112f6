import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';

export interface AuthenticatedRequest {
  user: { readonly tenantId: string };
}

/** Stands for the reader's own guard, which verifies the caller and puts it on the request. */
@Injectable()
export class AuthGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    context.switchToHttp().getRequest<AuthenticatedRequest>().user = { tenantId: 'acme' };
    return true;
  }
}
