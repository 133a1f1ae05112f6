import { Inject, Module, type DynamicModule } from '@nestjs/common';
import { ConfigModule } from '@nestjs/config';
import type { Settings } from './settings.schema';

const TOKEN = Symbol('Settings');

/** Injects the {@link Settings}, all of them, typed; ConfigService has them one by one. */
export const InjectSettings = (): ParameterDecorator => Inject(TOKEN);

/** The settings that the application was made with. */
@Module({})
export class SettingsModule {
  static readonly TOKEN = TOKEN;

  static async of(settings: Settings): Promise<DynamicModule> {
    const config = await ConfigModule.forRoot({
      isGlobal: true,
      ignoreEnvFile: true,
      validatePredefined: false,
      skipProcessEnv: true,
      load: [() => settings],
    });
    return {
      module: SettingsModule,
      global: true,
      imports: [config],
      providers: [{ provide: TOKEN, useValue: settings }],
      exports: [TOKEN],
    };
  }
}
