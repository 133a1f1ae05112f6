import { Global, Logger, Module, type OnApplicationBootstrap } from '@nestjs/common';
import { SettingsModule, InjectSettings } from '../config/settings.module';
import type { Settings } from '../config/settings.schema';
import { HeaderIdentity, TENANT_HEADER } from './header-identity';
import { IdentityVerifier } from './identity';
import { JwtIdentity } from './jwt-identity';

/** Who may do what: verified tenants and admins. */
@Global()
@Module({
  providers: [
    {
      provide: IdentityVerifier,
      inject: [SettingsModule.TOKEN],
      useFactory: ({ TENANT_AUTH, JWT_SECRET, ADMIN_TOKEN }: Settings): IdentityVerifier =>
        TENANT_AUTH === 'jwt' && JWT_SECRET !== undefined
          ? new JwtIdentity(JWT_SECRET)
          : new HeaderIdentity(ADMIN_TOKEN),
    },
  ],
  exports: [IdentityVerifier],
})
export class TenancyModule implements OnApplicationBootstrap {
  private readonly logger = new Logger('Tenancy');

  constructor(@InjectSettings() private readonly settings: Settings) {}

  onApplicationBootstrap(): void {
    if (this.settings.TENANT_AUTH === 'jwt') return;
    this.logger.warn(
      `TENANT_AUTH=header: whoever reaches this service is the tenant its ${TENANT_HEADER} header ` +
        'names. For development, or behind a gateway that sets the header and lets none through.',
    );
  }
}
